"""What tasks ask, as chat messages or as visuals and text; and what is refused."""

from typing import Any

import pytest

from retake import UsageError
from retake.integrations.lmms_eval.requests import NO_DATA, Asked, from_messages, from_visuals

VIDEO = {"type": "video", "url": "/data/a.mp4"}
TEXT = {"type": "text", "text": "Which?"}


def user(*content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(content)}]


def test_one_video_and_text() -> None:
    asked = Asked("/data/a.mp4", "Which?")
    assert from_messages(user(VIDEO, TEXT), "t") == asked
    assert from_messages(user({"type": "video", "url": ["file:///data/a.mp4"]}, TEXT), "t") == asked
    assert from_visuals(["/data/a.mp4"], "Which?", "t") == asked
    assert from_visuals("/data/a.mp4", "Which?", "t") == asked


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (None, "gives no messages"),
        (user(TEXT), "asks about no video"),
        ([{"role": "user", "content": "Which?"}], "asks about no video"),
        (user(VIDEO, VIDEO, TEXT), "asks about 2 videos at once"),
        (user(TEXT, VIDEO), "text in front of the video"),
        (user({"type": "image", "url": {NO_DATA: "PIL.Image.Image"}}, TEXT), "the type 'image'"),
        (user({**VIDEO, "start_time": 3.0}, TEXT), "a part of a video"),
        (user({"type": "video", "url": {"url": "a.mp4", "video_end": 3}}, TEXT), "a part of a vid"),
        (user({"type": "video", "url": "https://x/a.mp4"}, TEXT), "Download the videos"),
        ([{"role": "system", "content": [TEXT]}, *user(VIDEO, TEXT)], "messages of system, user"),
    ],
)
def test_messages_that_are_refused(messages: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        from_messages(messages, "mine")
    assert "The task 'mine'" in str(error.value)
    assert "one video, given by its path" in str(error.value)


@pytest.mark.parametrize(
    ("visuals", "said"),
    [
        (None, "asks about no video"),
        ([], "asks about no video"),
        ([{NO_DATA: "PIL.Image.Image"}] * 8, "gives a PIL.Image.Image"),
        ({NO_DATA: "numpy.ndarray"}, "gives a numpy.ndarray"),
        (["/data/a.png"], "asks about a picture"),
        (["/data/a.wav"], "asks about a sound"),
        ([{"array": [0.0], "sampling_rate": 16000}], "the keys array, sampling_rate"),
        (["a.mp4", "b.mp4"], "2 videos at once"),
    ],
)
def test_visuals_that_are_refused(visuals: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        from_visuals(visuals, "Which?", "mine")
