"""Recipes of N:M training by name."""

from .bdwp import Bdwp
from .dense import Dense
from .gradual import Gradual, MdGf, SdGf
from .kept import Kept, Static
from .mvue import Mvue
from .rule import LAST, Moment, Pruned, Rule
from .s_ste import SSte
from .sdgp import Sdgp
from .sr_ste import SrSte
from .step import Step
from .transposable import Transposable

RECIPES: dict[str, type[Rule]] = {
    "bdwp": Bdwp,
    "kept": Kept,
    "static": Static,
    "sr-ste": SrSte,
    "s-ste": SSte,
    "transposable": Transposable,
    "mvue": Mvue,
    "sdgp": Sdgp,
    "step": Step,
    "gradual": Gradual,
    "md-gf": MdGf,
    "sd-gf": SdGf,
    "dense": Dense,
}

__all__ = ["LAST", "RECIPES", "Dense", "Moment", "Pruned", "Rule", "SrSte"]
