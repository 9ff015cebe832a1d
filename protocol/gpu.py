"""Owns what Cycles calls the ways to use a graphics card; imports nothing heavy, for the command line names them."""

from typing import Literal

GpuKind = Literal["OPTIX", "CUDA", "HIP", "ONEAPI", "METAL"]
