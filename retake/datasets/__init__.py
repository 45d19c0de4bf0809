"""What models are measured by: one benchmark a file or folder."""

from retake.core.benchmark import Benchmark
from retake.core.registry import Registry

datasets: Registry[Benchmark] = Registry(
    "benchmark", Benchmark, entry_point_group="retake.datasets"
)
datasets.register_lazy("scenes", "retake.datasets.scenes.benchmark:Scenes")
datasets.register_lazy("mlvu", "retake.datasets.mlvu.benchmark:MLVU")
datasets.register_lazy("lvbench", "retake.datasets.lvbench:LVBench")
datasets.register_lazy("videomme", "retake.datasets.videomme:VideoMME")
datasets.register_lazy("longvideobench", "retake.datasets.longvideobench:LongVideoBench")
