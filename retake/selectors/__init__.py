"""Which steps of a video enter the language model: one method a file."""

from typing import TYPE_CHECKING

from retake.core.registry import Registry

if TYPE_CHECKING:
    from retake.core.selector import FrameSelector

selectors: "Registry[FrameSelector]" = Registry(
    "selector", "retake.core.selector:FrameSelector", entry_point_group="retake.selectors"
)
selectors.register_lazy("none", "retake.selectors.none:NoSelection")
selectors.register_lazy("uniform", "retake.selectors.uniform:Uniform")
selectors.register_lazy("random", "retake.selectors.random:Random")
selectors.register_lazy("dpselect", "retake.selectors.dpselect:DPSelect")
selectors.register_lazy("ma-lmm", "retake.selectors.ma_lmm:MaLmm")
selectors.register_lazy("ma-lmm-hard", "retake.selectors.ma_lmm:MaLmmHard")
selectors.register_lazy("maxinfo", "retake.selectors.maxinfo:MaxInfo")
selectors.register_lazy("scene", "retake.selectors.scene:Scene")
selectors.register_lazy("topk-sim", "retake.selectors.topk_sim:TopKSim")
selectors.register_lazy("aks", "retake.selectors.aks:AKS")
selectors.register_lazy("bolt", "retake.selectors.bolt:Bolt")
