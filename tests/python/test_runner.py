"""python -m triga: a program sees and says what it would under plain Python."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from triga._run import split_command

SHOW = "import sys; print(sys.argv, sys.path[0], __name__, sys.orig_argv[1:], sys.flags.optimize, sys.warnoptions)"
NATIVE = "import triga; print(sorted(triga.installed_parts()))"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs this interpreter with ARGUMENTS in FOLDER."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=folder, timeout=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of programs of the kinds that the interpreter's command line takes."""
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "raises.py").write_text("def inner():\n    raise KeyError('lost')\n\ninner()\n")
    (tmp_path / "broken.py").write_text("def inner(:\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(7)\n")
    (tmp_path / "says.py").write_text("import sys\nsys.exit('no such luck')\n")
    (tmp_path / "stack.py").write_text("import traceback\ntraceback.print_stack()\n")
    (tmp_path / "main.py").write_text(
        "import sys, __main__\nprint(__main__.__file__, sys.modules['__main__'] is __main__)\n"
    )
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(SHOW)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["show.py", "a", "-b", "--", "c"],
        ["-m", "package", "x"],
        ["package", "x"],
        ["-c", SHOW, "x", "y"],
        ["raises.py"],
        ["broken.py"],
        ["leaves.py"],
        ["says.py"],
        ["stack.py"],
        ["main.py"],
        ["absent.py"],
        ["-m", "absent"],
    ],
    ids=" ".join,
)
def test_a_program_is_as_under_plain_python(folder: Path, arguments: list[str]) -> None:
    plain = run(folder, *arguments)
    native = run(folder, "-m", "triga", *arguments)
    assert (native.returncode, native.stdout, native.stderr) == (plain.returncode, plain.stdout, plain.stderr)


@pytest.mark.parametrize(
    "options", [["-O"], ["-u", "-W", "ignore"], ["-Wignore", "-X", "dev"], ["-B", "-I"]], ids=" ".join
)
def test_interpreter_options_are_kept(folder: Path, options: list[str]) -> None:
    plain = run(folder, *options, "show.py")
    native = run(folder, *options, "-m", "triga", "show.py")
    assert (native.returncode, native.stdout) == (plain.returncode, plain.stdout)


def test_options_and_the_module_in_one_word(folder: Path) -> None:
    assert run(folder, "-Om", "triga", "show.py").stdout == run(folder, "-O", "show.py").stdout


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("python -m triga s.py 1", ([], "triga", ["s.py", "1"])),
        ("python -u -X dev -m triga s.py", (["-u", "-X", "dev"], "triga", ["s.py"])),
        ("python -Xdev -Wignore -Bmtriga -m x", (["-Xdev", "-Wignore", "-B"], "triga", ["-m", "x"])),
        ("python --check-hash-based-pycs never -m triga s", (["--check-hash-based-pycs", "never"], "triga", ["s"])),
        ("python s.py -m triga", ([], "", [])),
        ("python -c code -m triga", ([], "", [])),
        ("python - -m triga", ([], "", [])),
        ("python -O -- s.py -m triga", (["-O"], "", [])),
        ("python -m", ([], "", [])),
        ("python", ([], "", [])),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_the_words_of_a_command_line(words: str, parts: tuple[list[str], str, list[str]]) -> None:
    assert split_command(words.split()) == parts


def test_only_the_program_s_interpreter_loads_the_extension(folder: Path) -> None:
    """The first one is replaced while it reads triga.pth; -X importtime says what either of them imported."""
    (folder / "empty.py").write_text("")
    imported = run(folder, "-X", "importtime", "-m", "triga", "empty.py").stderr
    assert imported.count("triga._core\n") == 1
    assert imported.count("| encodings\n") == 2


def test_a_module_of_that_name_in_the_current_folder_is_what_is_run(folder: Path) -> None:
    (folder / "triga.py").write_text("print('my own')")
    assert run(folder, "-m", "triga", "show.py").stdout == "my own\n"
    assert run(folder, "-P", "-m", "triga", "-c", NATIVE).stdout == "['loop', 'processes', 'threads']\n"


@pytest.mark.parametrize("arguments", [["native.py"], ["-c", NATIVE], ["-m", "native"]], ids=lambda words: words[0])
def test_every_part_is_native(folder: Path, arguments: list[str]) -> None:
    (folder / "native.py").write_text(NATIVE)
    assert run(folder, "-m", "triga", *arguments).stdout == "['loop', 'processes', 'threads']\n"


def test_ctrl_c_ends_a_program_as_under_plain_python(folder: Path) -> None:
    # Short sleeps: a signal that arrives just before one long sleep would be noticed only after it.
    program = "import time\nprint('waiting', flush=True)\nfor _ in range(1000): time.sleep(0.05)\n"
    (folder / "waits.py").write_text(program)
    outcomes = []
    for runner in ([], ["-m", "triga"]):
        command = [sys.executable, *runner, "waits.py"]
        with subprocess.Popen(
            command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
            outcomes.append((said.splitlines()[-1], "triga" in said, process.wait(timeout=30)))
    assert outcomes[0] == outcomes[1] == ("KeyboardInterrupt", False, -signal.SIGINT)


def test_usage_without_a_program(folder: Path) -> None:
    done = run(folder, "-m", "triga")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m triga script.py")


def test_without_site_there_is_one_clear_sentence(folder: Path) -> None:
    import triga

    environment = {"PYTHONPATH": str(Path(triga.__file__).parent.parent)}
    command = [sys.executable, "-S", "-m", "triga", "show.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (
        1,
        "triga: cannot run show.py: -S keeps the interpreter from reading triga.pth\n",
    )


def test_doctor_names_each_part(folder: Path) -> None:
    done = run(folder, "-m", "triga", "doctor")
    assert done.returncode == 0
    assert {line.split()[0] for line in done.stdout.splitlines()} >= {"kernel", "threads", "processes", "loop"}
    assert run(folder, "-m", "triga", "doctor", "who").returncode == 2
