// Wide multiplexers on ECP5: a LUT4 chooses of two inputs, and the slices' own multiplexers join the
// LUTs. Their ports are those of Yosys' $_MUX8_ and $_MUX16_; their delays, in picoseconds, are the
// sums of those that Yosys has of their cells, for the LUT mapper, which leaves them as they are.

(* abc9_box *)
module MUX8 (input A, B, C, D, E, F, G, H, S, T, U, output Y);
  wire ab, cd, ef, gh, abcd, efgh;
  LUT4 #(.INIT(16'hCACA)) lut_ab (.A(A), .B(B), .C(S), .D(1'b0), .Z(ab));
  LUT4 #(.INIT(16'hCACA)) lut_cd (.A(C), .B(D), .C(S), .D(1'b0), .Z(cd));
  LUT4 #(.INIT(16'hCACA)) lut_ef (.A(E), .B(F), .C(S), .D(1'b0), .Z(ef));
  LUT4 #(.INIT(16'hCACA)) lut_gh (.A(G), .B(H), .C(S), .D(1'b0), .Z(gh));
  PFUMX low (.BLUT(ab), .ALUT(cd), .C0(T), .Z(abcd));
  PFUMX high (.BLUT(ef), .ALUT(gh), .C0(T), .Z(efgh));
  L6MUX21 whole (.D0(abcd), .D1(efgh), .SD(U), .Z(Y));
  specify
    (A => Y) = 380; (C => Y) = 380; (E => Y) = 380; (G => Y) = 380;
    (B => Y) = 514; (D => Y) = 514; (F => Y) = 514; (H => Y) = 514;
    (S => Y) = 618; (T => Y) = 292; (U => Y) = 148;
  endspecify
endmodule

(* abc9_box *)
module MUX16 (
  input A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, S, T, U, V,
  output Y
);
  wire low, high;
  MUX8 first (.A(A), .B(B), .C(C), .D(D), .E(E), .F(F), .G(G), .H(H),
    .S(S), .T(T), .U(U), .Y(low));
  MUX8 second (.A(I), .B(J), .C(K), .D(L), .E(M), .F(N), .G(O), .H(P),
    .S(S), .T(T), .U(U), .Y(high));
  L6MUX21 whole (.D0(low), .D1(high), .SD(V), .Z(Y));
  specify
    (A => Y) = 521; (C => Y) = 521; (E => Y) = 521; (G => Y) = 521;
    (I => Y) = 521; (K => Y) = 521; (M => Y) = 521; (O => Y) = 521;
    (B => Y) = 655; (D => Y) = 655; (F => Y) = 655; (H => Y) = 655;
    (J => Y) = 655; (L => Y) = 655; (N => Y) = 655; (P => Y) = 655;
    (S => Y) = 759; (T => Y) = 433; (U => Y) = 289; (V => Y) = 148;
  endspecify
endmodule
