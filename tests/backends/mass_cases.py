"""The Triton kernels against the reference, case after case; run by test_cuda_attention_mass.py.

On the CPU with `TRITON_INTERPRET=1`, on a GPU with the argument `cuda`.
"""

import sys

import torch

from retake.backends.cuda_attention_mass import attention_mass
from retake.core.attention import attention_mass_reference

# Heads, key heads, queries, head size: grouped and not, every tile whole, cut or far too large.
_SHAPES = [
    (1, 1, 1, 16),
    (4, 2, 64, 64),
    (6, 2, 129, 80),
    (3, 3, 65, 96),
    (7, 1, 200, 128),
    (2, 1, 40, 5),
]
# Triton's interpreter (3.7) multiplies the bit patterns of bfloat16: that dtype needs a GPU.
_DTYPES = {
    "cpu": [torch.float32, torch.float16],
    "cuda": [torch.float32, torch.float16, torch.bfloat16],
}


def main() -> None:
    device = sys.argv[1]
    dtypes = _DTYPES[device]
    worst = 0.0
    for heads, groups, count, width in _SHAPES:
        for dtype in dtypes:
            generator = torch.Generator().manual_seed(count)
            # As the engine has them: heads inside tokens, keys a slice of a longer buffer.
            queries = torch.randn(count, heads, width, generator=generator).to(device, dtype)
            keys = 2 * torch.randn(groups, count + 7, width, generator=generator).to(device, dtype)
            queries, keys = queries.transpose(0, 1), keys[:, 3 : 3 + count]
            scaling = width**-0.5
            mass = attention_mass(queries, keys, scaling)
            want = attention_mass_reference(queries, keys, scaling)
            assert mass.dtype == torch.float32, mass.dtype
            torch.testing.assert_close(mass, want, atol=2e-5, rtol=2e-5)
            assert torch.equal(mass, attention_mass(queries, keys, scaling))
            worst = max(worst, float((mass - want).abs().max()))
    print(f"{len(_SHAPES) * len(dtypes)} cases agree, largest difference {worst:.1e}")


if __name__ == "__main__":
    main()
