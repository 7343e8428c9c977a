"""The native kernel and Python go together: a kernel tells which sources it was built of, and those of here are written down."""

import hashlib
import subprocess
import sys


def test_the_digest_of_the_native_sources_is_written_down(root):
    native = root / "native"
    files = [native / "Cargo.toml", native / "Cargo.lock", *sorted((native / "src").glob("*.rs"))]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    written = (root / "detectors" / "kernel.sha256").read_text().strip()
    assert written == digest, f"write {digest} into detectors/kernel.sha256, and build the kernel anew: make native"


def test_a_kernel_of_other_sources_is_not_used():
    stranger = "import sys, types; sys.modules['miniwatch_native'] = types.SimpleNamespace(SOURCES='0')"
    asked = f"{stranger}; from detectors import kernel; print(kernel.available(), kernel.standing())"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False built of other sources, therefore not used"
