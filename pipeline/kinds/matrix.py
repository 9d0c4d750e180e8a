"""The kind `matrix`: a product, a convolution or a pooling cut into blocks, which functions compute.

The student writes what one function does for one block of the answer; cutting, passing blocks through the store,
and judging are the course's.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.kinds.contract import DataSettings, JobSettings, Measure, Traits


class MatrixJob(JobSettings):
    """How the answer is cut, and among how many functions it is shared."""

    kind: Literal["matrix"] = "matrix"
    block_size: int = Field(default=256, ge=8, le=4096, description="rows and columns of one block of the answer")
    workers: int = Field(default=4, ge=1, le=64, description="functions that compute at a time")

    @property
    def file(self) -> str:
        return "matrix.py"

    @property
    def at_once(self) -> int:
        return self.workers

    def in_words(self) -> str:
        return f"blocks of {self.block_size}, {self.workers} worker{'s' if self.workers > 1 else ''}"


class MatrixData(DataSettings):
    """The operation and the sizes of its operands, which are float32 and follow from the assignment's secret.

    `multiply`: [rows, inner] times [inner, columns]. `convolve`: an image [rows, columns] with a kernel
    [kernel, kernel] as `torch.nn.functional.conv2d` does it, without padding, then pooled where there is `pool`.
    `pool`: the largest of each [pool, pool] of an image, rows and columns that are left over dropped.
    """

    kind: Literal["matrix"] = "matrix"
    operation: Literal["multiply", "convolve", "pool"] = "multiply"
    rows: int = Field(default=1024, ge=1, le=65_536)
    columns: int = Field(default=1024, ge=1, le=65_536)
    inner: int | None = Field(default=None, ge=1, le=65_536, description="of a product: what is summed; none: as rows")
    kernel: int | None = Field(default=None, ge=1, le=64, description="of a convolution: its kernel's side")
    pool: int | None = Field(default=None, ge=2, le=64, description="the side of what is pooled; none: no pooling")
    tolerance: float = Field(default=1e-4, gt=0, lt=1, description="error up to which a block is right")

    @model_validator(mode="after")
    def _sizes_of_the_operation(self) -> Self:
        given = {name for name in ("inner", "kernel", "pool") if getattr(self, name) is not None}
        needed = {"multiply": set(), "convolve": {"kernel"}, "pool": {"pool"}}[self.operation]
        allowed = {"multiply": {"inner"}, "convolve": {"kernel", "pool"}, "pool": {"pool"}}[self.operation]
        if given - allowed:
            raise ValueError(f"{self.operation} has no {' and no '.join(sorted(given - allowed))}")
        if needed - given:
            raise ValueError(f"{self.operation} needs {', '.join(needed)}")
        if min(self.answer) < 1:
            raise ValueError(f"an image of {self.rows} x {self.columns} leaves nothing: make it larger")
        return self

    @property
    def summed(self) -> int:
        """Of a product: columns of the left operand, rows of the right one."""
        return self.inner or self.rows

    @property
    def around(self) -> int:
        """By how many rows and columns what a convolution reads is larger than what it gives."""
        return self.kernel - 1 if self.kernel else 0

    @property
    def pooled(self) -> int:
        """The side of the squares of which the largest is kept; 1: everything is."""
        return self.pool or 1

    @property
    def answer(self) -> tuple[int, int]:
        """Rows and columns of the answer."""
        if self.operation == "multiply":
            return self.rows, self.columns
        return (self.rows - self.around) // self.pooled, (self.columns - self.around) // self.pooled

    @property
    def operands(self) -> dict[str, tuple[int, int]]:
        """Operand -> its rows and columns."""
        if self.operation == "multiply":
            return {"a": (self.rows, self.summed), "b": (self.summed, self.columns)}
        kernel = {"kernel": (self.kernel, self.kernel)} if self.kernel else {}
        return {"image": (self.rows, self.columns)} | kernel

    def in_words(self) -> str:
        if self.operation == "multiply":
            return f"{self.rows:,} x {self.summed:,} times {self.summed:,} x {self.columns:,}"
        convolved = f"convolved with {self.kernel} x {self.kernel}" if self.kernel else ""
        pooled = f"pooled by {self.pool}" if self.pool else ""
        return f"{self.rows:,} x {self.columns:,} " + " and ".join(filter(None, [convolved, pooled]))


LOOK = "look at the first block that is wrong: compute it at home from a small product and compare"
MATRIX = Traits(
    MatrixJob,
    MatrixData,
    tasks=("matrix",),
    defines=("worker",),
    measures={
        "correct": Measure("share of right blocks", next_step=LOOK),
        "error": Measure("largest error", digits=6, next_step=LOOK),
        "moved_mb": Measure(
            "data moved", " MB", 1, "keep a block that the next task reads too, or choose larger blocks"
        ),
    },
)
