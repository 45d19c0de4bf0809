"""Attention mass on NVIDIA GPUs: two Triton kernels that hold no `queries × keys` matrix.

The first finds each query's log-sum-exp over the keys. The second gives a block of keys of one
head to each program, which walks over the queries and adds up the weights they give; the sum over
heads is torch's. No float is added atomically, so the same input gives the same bits. Imported
only where Triton is installed.
"""

# Triton's decorator and its kernels are untyped, and it is not installed everywhere.
# mypy: disable-error-code="import-not-found,untyped-decorator,no-untyped-def"

import torch
import triton
import triton.language as tl
from torch import Tensor

_LOG2_E = 1.4426950408889634


def attention_mass(queries: Tensor, keys: Tensor, scaling: float) -> Tensor:
    """Softmax weight each key receives, summed over queries and averaged over heads.

    Shapes as in `Backend.attention_mass`; any head size, in float32, float16 or bfloat16.
    Logits and sums are float32.
    """
    heads, count, width = queries.shape
    groups, length = keys.shape[0], keys.shape[1]
    # Sizes at which Triton 3.7 spills no register for sm_80 and sm_90. Float32 is multiplied
    # exactly, without tensor cores.
    small = queries.element_size() > 2
    rows, columns, warps = (32, 32, 8) if small else (128, 64, 4)
    shared = {
        "heads_a_key_head": heads // groups,
        "count": count,
        "length": length,
        "width": width,
        "scale": scaling * _LOG2_E,
        "tile_rows": rows,
        "tile_columns": columns,
        "tile_width": max(16, triton.next_power_of_2(width)),
        "num_warps": warps,
    }
    norms = torch.empty((heads, count), dtype=torch.float32, device=queries.device)
    sums = torch.empty((heads, length), dtype=torch.float32, device=queries.device)
    strides = (*queries.stride(), *keys.stride())
    _row_norms[(triton.cdiv(count, rows), heads)](queries, keys, norms, *strides, **shared)
    _column_sums[(triton.cdiv(length, columns), heads)](
        queries, keys, norms, sums, *strides, **shared
    )
    return sums.sum(0) / heads


@triton.jit
def _tile(
    start, first, last, step_row, step_width, width,
    tile_rows: tl.constexpr, tile_width: tl.constexpr,
):  # fmt: skip
    """Rows `first` … of a `[last, width]` matrix, with zeros beyond its edges."""
    row = first + tl.arange(0, tile_rows)
    column = tl.arange(0, tile_width)
    inside = (row < last)[:, None] & (column < width)[None, :]
    place = start + row.to(tl.int64)[:, None] * step_row + column[None, :] * step_width
    return tl.load(place, mask=inside, other=0.0)


@triton.jit
def _row_norms(
    queries, keys, norms,
    query_head, query_row, query_width, key_head, key_row, key_width,
    heads_a_key_head, count, length, width, scale,
    tile_rows: tl.constexpr, tile_columns: tl.constexpr, tile_width: tl.constexpr,
):  # fmt: skip
    """Base-2 log-sum-exp of a block of queries of one head over all keys."""
    first = tl.program_id(0) * tile_rows
    head = tl.program_id(1).to(tl.int64)
    query_start = queries + head * query_head
    key_start = keys + (head // heads_a_key_head) * key_head
    block = _tile(query_start, first, count, query_row, query_width, width, tile_rows, tile_width)
    most = tl.full([tile_rows], float("-inf"), tl.float32)
    total = tl.zeros([tile_rows], tl.float32)
    for column in range(0, length, tile_columns):
        tile = _tile(key_start, column, length, key_row, key_width, width, tile_columns, tile_width)
        logits = tl.dot(block, tl.trans(tile), input_precision="ieee") * scale
        seen = (column + tl.arange(0, tile_columns)) < length
        logits = tl.where(seen[None, :], logits, float("-inf"))
        larger = tl.maximum(most, tl.max(logits, 1))
        total = total * tl.exp2(most - larger) + tl.sum(tl.exp2(logits - larger[:, None]), 1)
        most = larger
    row = first + tl.arange(0, tile_rows)
    tl.store(norms + head * count + row, most + tl.log2(total), mask=row < count)


@triton.jit
def _column_sums(
    queries, keys, norms, sums,
    query_head, query_row, query_width, key_head, key_row, key_width,
    heads_a_key_head, count, length, width, scale,
    tile_rows: tl.constexpr, tile_columns: tl.constexpr, tile_width: tl.constexpr,
):  # fmt: skip
    """The weight that a block of keys receives from all queries of one head."""
    first = tl.program_id(0) * tile_columns
    head = tl.program_id(1).to(tl.int64)
    query_start = queries + head * query_head
    key_start = keys + (head // heads_a_key_head) * key_head
    tile = _tile(key_start, first, length, key_row, key_width, width, tile_columns, tile_width)
    total = tl.zeros([tile_columns], tl.float32)
    for start in range(0, count, tile_rows):
        block = _tile(
            query_start, start, count, query_row, query_width, width, tile_rows, tile_width
        )
        row = start + tl.arange(0, tile_rows)
        # Beyond the last query the norm is infinite, and the weight nothing.
        norm = tl.load(norms + head * count + row, mask=row < count, other=float("inf"))
        logits = tl.dot(block, tl.trans(tile), input_precision="ieee") * scale
        total += tl.sum(tl.exp2(logits - norm[:, None]), 0)
    column = first + tl.arange(0, tile_columns)
    tl.store(sums + head * length + column, total, mask=column < length)
