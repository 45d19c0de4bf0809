"""The embedded model's tokenizer: a few hundred whole words, and Qwen2-VL's special tokens.

The idea: words in any case read the same ("Red", "red"), punctuation stands alone, and a
letter standing alone keeps its case, so that an answer reads "B" and an article "a".
The chat template is Qwen2-VL's, reduced to text, images and videos.
"""

import re
import string
from collections.abc import Callable

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from retake.datasets.scenes.questions import KINDS, LETTERS, PHRASINGS
from retake.datasets.scenes.world import COLOURS, SHAPES
from training.embedded.batches import WORDINGS

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<unk>",
)
PUNCTUATION = ". , : ; ? ! ( ) ' - /"
MORE_WORDS = """
    system user assistant you are helpful a an the of in on at to and or not is was were did do
    does it its this that these those there any some one which what when where who how many much
    answer question option options choose select following best correct given based please reply
    respond only with by from for letter word single directly video clip frame frames scene shown
    show shows see seen appear appears appeared visible flash flashes flashed flashing briefly
    brief short card sign moving moves moved move background object shape thing color colour
    colours colors red first last before after earlier later second third start end beginning
    yes no true false none matches match below your watch carefully pay attention every detail
    observations accurately addresses give using multiple about
"""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' or 'video' in content %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def vocabulary() -> list[str]:
    """Every token in the order of its id: special tokens, letters, punctuation, words."""
    phrases = " ".join([WORDINGS, *(text for group in PHRASINGS.values() for text in group)])
    phrases = re.sub(r"\{\w+\}", " ", phrases).lower()
    words = set(re.findall(r"[a-z]+", phrases)) | set(re.findall(r"[a-z]+", MORE_WORDS))
    words |= set(COLOURS) | set(SHAPES) | {part for kind in KINDS for part in kind.split("_")}
    return [*SPECIAL, *LETTERS, *PUNCTUATION.split(), *string.digits, *sorted(words)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, ready to save; loads again through `AutoTokenizer`."""
    ids = {token: index for index, token in enumerate(vocabulary())}
    inner = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    inner.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(Regex(f"{x}(?=[A-Za-z])|(?<=[A-Za-z]){x}"), x.lower())
            for x in string.ascii_uppercase
        ]
    )
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.Digits(individual_digits=True),
        ]
    )
    make: Callable[..., PreTrainedTokenizerFast] = PreTrainedTokenizerFast
    return make(
        tokenizer_object=inner,
        unk_token="<unk>",
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=[t for t in SPECIAL if t.startswith("<|") and t != "<unk>"],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=32768,
    )
