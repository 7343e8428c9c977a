"""What values of the configuration may be: sizes, counts, paths, and how one that cannot be accepted is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB


class RefusedValueError(ValueError):
    """A value of the right type that cannot be accepted: what is expected instead, and what to do. One that may hold a secret is not shown."""

    def __init__(self, expected: str, remedy: str, *, is_secret: bool = False) -> None:
        super().__init__(expected)
        self.expected = expected
        self.remedy = remedy
        self.is_secret = is_secret


class Keys(BaseModel):
    """One table of the configuration. Unknown keys are refused and nothing changes after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=False)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise RefusedValueError("a folder that exists", f"create it or correct the path (seen from {Path.cwd()})")
    return path


def _file(path: Path) -> Path:
    if not path.is_file():
        raise RefusedValueError("a file that exists", f"create it or correct the path (seen from {Path.cwd()})")
    return path


def _placeholder_name(name: str) -> str:
    if not name or "%" in name or "\\" in name:
        raise RefusedValueError("a name without % and backslash", "write it without the percent signs around it")
    return name


def named(text: object) -> object:
    if text == "":
        raise RefusedValueError("the path of a folder", 'write, say, "var/miniwatch"')
    return text


Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Days = Annotated[int, Field(ge=1, le=36_500)]
Hours = Annotated[float, Field(gt=0, le=24 * 365)]
Folder = Annotated[Path, BeforeValidator(named), AfterValidator(_folder)]
File = Annotated[Path, AfterValidator(_file)]
PlaceholderName = Annotated[str, AfterValidator(_placeholder_name), Field(max_length=100)]
PlaceholderValues = Annotated[
    tuple[Annotated[str, Field(max_length=10_000)], ...], Field(min_length=1, max_length=10_000)
]


def file_if_any(text: str) -> str:
    return str(_file(Path(text))) if text else text


FileIfAny = Annotated[str, AfterValidator(file_if_any)]
