"""A trained model as a folder that tests itself."""

from polyrec.artifact.bundle import Bundle
from polyrec.artifact.manifest import Manifest
from polyrec.artifact.program import Program

__all__ = ["Bundle", "Manifest", "Program"]
