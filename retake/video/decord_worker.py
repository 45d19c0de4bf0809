"""The process in which decord runs. A script of its own: it imports decord and numpy, no retake.

decord may wait for ever, abort, or clash with another FFmpeg in the same process; here it
can do none of that to anyone else. It reads requests, a JSON object a line, from standard
input, and answers each on standard output with a JSON line, followed by the raw bytes of
a frame where the line gives a shape. What FFmpeg says goes to standard error.
"""

import json
import os
import sys


def main() -> None:
    """Serve one video until standard input closes."""
    sys.path.append(sys.argv[1])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not be taken for an answer

    def answer(**fields: object) -> None:
        answers.write(json.dumps(fields).encode() + b"\n")
        answers.flush()

    try:
        import decord

        decord.logging.set_level(decord.logging.INFO)
        video = decord.VideoReader(sys.argv[2], num_threads=int(sys.argv[3]))
        answer(frames=len(video), keys=video.get_key_indices())
        for line in sys.stdin:
            for index in json.loads(line):
                image = video.get_batch([index]).asnumpy()[0]
                answer(index=index, shape=image.shape)
                answers.write(image.tobytes())
            answers.flush()
    except Exception as error:  # noqa: BLE001 - every failure is told to the reader, in words
        answer(error=str(error).strip().splitlines()[0] if str(error) else repr(error))


if __name__ == "__main__":
    main()
