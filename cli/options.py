"""The options of commands as a table: which flag sets which key of the configuration."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

SECTIONS = (
    "Benchmark",
    "Grid",
    "Model",
    "Frames",
    "Frame selection",
    "Cache compression",
    "Answer",
    "Workers",
    "Configuration",
    "Output",
)


@attrs.frozen
class Flag:
    """One flag.

    Attributes:
        path: the key that it sets, dotted.
        names: as typed; two of them ("--sample/--greedy") where it switches.
        section: the heading it stands under in the help.
        help: one line.
        type: what click converts its value to; bool for a switch.
        metavar: the value in the help.
    """

    path: str
    names: str
    section: str
    help: str
    type: Any = str
    metavar: str | None = None


# Values are checked in one place, `retake.core.config`; metavars only show the choices.
FLAGS = (
    Flag("model.path", "--model", "Model", "Checkpoint folder or hub id.", str, "PATH"),
    Flag("model.adapter", "--adapter", "Model", "Model family, if not by config.json.", str),
    Flag("model.backend", "--backend", "Model", "Device: auto, cpu, cuda, npu, ...", str),
    Flag(
        "model.device_map",
        "--device-map",
        "Model",
        "Spread the model over devices.",
        str,
        "[auto|balanced|sequential]",
    ),
    Flag("model.dtype", "--dtype", "Model", "Of weights.", str, "[auto|float32|bfloat16|float16]"),
    Flag("model.attention", "--attention", "Model", "Attention kernel.", str, "[sdpa|eager]"),
    Flag("model.yarn_factor", "--yarn", "Model", "Stretch the context by YaRN.", float, "TIMES"),
    Flag("video.fps", "--fps", "Frames", "Frames sampled per second of video.", float),
    Flag("video.max_frames", "--max-frames", "Frames", "At most so many frames.", int, "COUNT"),
    Flag("video.long_side", "--long-side", "Frames", "Scale frames down to it.", int, "PIXELS"),
    Flag("video.reader", "--reader", "Frames", "Decoder.", str, "[auto|decord|pyav|frames]"),
    Flag(
        "video.reader_threads",
        "--reader-threads",
        "Frames",
        "Threads of the decoder.",
        int,
        "COUNT",
    ),
    Flag("video.folder_fps", "--folder-fps", "Frames", "Rate of a folder of pictures.", float),
    Flag(
        "video.on_bad_frame",
        "--on-bad-frame",
        "Frames",
        "A frame that cannot be decoded fails the run, or is left out and reported.",
        str,
        "[error|report]",
    ),
    Flag(
        "prefill.budget",
        "--budget",
        "Cache compression",
        "Tokens each layer may hold, prompt included. Default: 32000.",
        int,
        "TOKENS",
    ),
    Flag(
        "prefill.keep_ratio",
        "--keep-ratio",
        "Cache compression",
        "Instead: the fraction of the video's tokens to keep.",
        float,
        "FRACTION",
    ),
    Flag(
        "prefill.positions",
        "--positions",
        "Cache compression",
        "Renumber what is kept, or not.",
        str,
        "[reforge|original]",
    ),
    Flag("prefill.chunk_frames", "--chunk-frames", "Cache compression", "Frames a chunk.", int),
    Flag(
        "prefill.reserve",
        "--reserve",
        "Cache compression",
        "Tokens of the budget set aside for the question.",
        int,
        "TOKENS",
    ),
    Flag(
        "prefill.reference",
        "--reference/--no-reference",
        "Cache compression",
        "Compute as the published code does where it departs from the paper.",
        bool,
    ),
    Flag("generate.max_new_tokens", "--max-new-tokens", "Answer", "Length at most.", int, "COUNT"),
    Flag("generate.do_sample", "--sample/--greedy", "Answer", "Draw tokens, or not.", bool),
    Flag("generate.temperature", "--temperature", "Answer", "Of sampling.", float),
    Flag("generate.top_p", "--top-p", "Answer", "Of sampling.", float),
    Flag("generate.top_k", "--top-k", "Answer", "Of sampling.", int),
    Flag("generate.num_beams", "--beams", "Answer", "Beams searched.", int, "COUNT"),
    Flag("seed", "--seed", "Answer", "Of sampled answers.", int),
)


class SectionOption(click.Option):
    """An option that stands under a heading in the help."""

    def __init__(self, *args: Any, section: str = "Output", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class SectionCommand(click.Command):
    """A command whose help groups its options under headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                rows.setdefault(getattr(param, "section", SECTIONS[-1]), []).append(record)
        for section in SECTIONS:
            if section in rows:
                with formatter.section(section):
                    formatter.write_dl(rows[section])


Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def section_option(*names: str, section: str, **kwargs: Any) -> Callable[[Decorated], Decorated]:
    """`click.option` under a heading."""
    return click.option(*names, cls=SectionOption, section=section, **kwargs)


def flag_options(flags: Iterable[Flag]) -> Callable[[Decorated], Decorated]:
    """Decorator: all flags of a table as options, their paths as parameter names."""

    def add(function: Decorated) -> Decorated:
        for flag in reversed(tuple(flags)):
            switch = flag.type is bool
            function = section_option(
                flag.names,
                parameter(flag),
                section=flag.section,
                type=None if switch else flag.type,
                default=None,
                metavar=None if switch else flag.metavar or flag.type.__name__.upper(),
                help=flag.help,
            )(function)
        return function

    return add


def parameter(flag: Flag) -> str:
    """The name under which click passes a flag's value."""
    return "set_" + flag.path.replace(".", "_")


def flags_given(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What was set by flags: dotted paths and values."""
    given = ((flag.path, values.get(parameter(flag))) for flag in FLAGS)
    return [(path, value) for path, value in given if value is not None]


def part_options(function: Decorated) -> Decorated:
    """Decorator: the options that choose a selector and a compressor."""
    for kind, section in reversed(_PARTS):
        function = section_option(
            f"--{kind}",
            section=section,
            metavar="NAME",
            help=f"A registered {kind}, name:key=value,key=value, or file.py:Class.",
        )(
            section_option(
                f"--{kind}-option",
                section=section,
                metavar="KEY=VALUE",
                multiple=True,
                help=f"An option of the {kind}; repeatable.",
            )(function)
        )
    return function


def configuration_options(function: Decorated) -> Decorated:
    """Decorator: the options that give a configuration as a whole, and `--show-config`."""
    for add in reversed(_CONFIGURATION):
        function = add(function)
    return function


def question_options(function: Decorated) -> Decorated:
    """Decorator: where questions and rarer settings of answering come from."""
    for add in reversed(_QUESTIONS):
        function = add(function)
    return function


_PARTS = (("selector", "Frame selection"), ("compressor", "Cache compression"))
_FILE = click.Path(path_type=Path)
_CONFIGURATION: tuple[Callable[[Any], Any], ...] = (
    section_option("--preset", section="Configuration", metavar="NAME", help="Published settings."),
    section_option(
        "--config",
        "config_files",
        section="Configuration",
        type=_FILE,
        metavar="FILE",
        multiple=True,
        help="A YAML file over the preset; repeatable, later ones win.",
    ),
    section_option(
        "--set",
        "settings",
        section="Configuration",
        metavar="PATH=VALUE",
        multiple=True,
        help="Any key of the configuration, such as video.fps=4; repeatable.",
    ),
    section_option(
        "--show-config",
        section="Configuration",
        is_flag=True,
        help="Print the configuration as YAML and stop; no model is loaded.",
    ),
)
_QUESTIONS: tuple[Callable[[Any], Any], ...] = (
    section_option(
        "--questions",
        "questions_file",
        section="Answer",
        type=_FILE,
        metavar="FILE",
        help="Further questions, one a line; - reads stdin.",
    ),
    section_option(
        "--generate-option",
        section="Answer",
        metavar="KEY=VALUE",
        multiple=True,
        help="Any other setting of transformers' GenerationConfig; repeatable.",
    ),
)
