// What Yosys' cells of 8:1 and 16:1 multiplexers become on ECP5: a LUT4 chooses of two inputs, and
// the slices' own multiplexers join the LUTs. Yosys' LUT mapper, which takes them for a LUT of as
// many inputs, never finds this.

module \$_MUX8_ (input A, B, C, D, E, F, G, H, S, T, U, output Y);
  wire ab, cd, ef, gh, abcd, efgh;
  LUT4 #(.INIT(16'hCACA)) lut_ab (.A(A), .B(B), .C(S), .D(1'b0), .Z(ab));
  LUT4 #(.INIT(16'hCACA)) lut_cd (.A(C), .B(D), .C(S), .D(1'b0), .Z(cd));
  LUT4 #(.INIT(16'hCACA)) lut_ef (.A(E), .B(F), .C(S), .D(1'b0), .Z(ef));
  LUT4 #(.INIT(16'hCACA)) lut_gh (.A(G), .B(H), .C(S), .D(1'b0), .Z(gh));
  PFUMX low (.BLUT(ab), .ALUT(cd), .C0(T), .Z(abcd));
  PFUMX high (.BLUT(ef), .ALUT(gh), .C0(T), .Z(efgh));
  L6MUX21 whole (.D0(abcd), .D1(efgh), .SD(U), .Z(Y));
endmodule

module \$_MUX16_ (
  input A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, S, T, U, V,
  output Y
);
  wire low, high;
  \$_MUX8_ first (.A(A), .B(B), .C(C), .D(D), .E(E), .F(F), .G(G), .H(H),
    .S(S), .T(T), .U(U), .Y(low));
  \$_MUX8_ second (.A(I), .B(J), .C(K), .D(L), .E(M), .F(N), .G(O), .H(P),
    .S(S), .T(T), .U(U), .Y(high));
  L6MUX21 whole (.D0(low), .D1(high), .SD(V), .Z(Y));
endmodule
