# SPDX-License-Identifier: GPL-2.0-only
"""Finding clang, compiling, and the cache of objects."""

from __future__ import annotations

from pathlib import Path

import pytest

from towline.errors import CompileError, UnsupportedError
from towline.kernel import clang
from towline.kernel.clang import compile_program, find_clang

SOURCE = '#include "number.h"\nint number = NUMBER; // a global, so that something stands in the object\n'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "number.h").write_text("#define NUMBER 1\n")
    path = tmp_path / "number.bpf.c"
    path.write_text(SOURCE)
    return path


def fake_clang(folder: Path, name: str, version: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho Some clang version {version}\n")
    path.chmod(0o755)
    return path


def test_find_clang__takes_the_one_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_clang(tmp_path, "mine", "15.0.1-rc1")
    monkeypatch.setenv("TOWLINE_CLANG", str(path))
    found = find_clang()
    assert (found.path, found.major, found.version) == (str(path), 15, "Some clang version 15.0.1-rc1")


def test_find_clang__refuses_an_old_one_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWLINE_CLANG", str(fake_clang(tmp_path, "mine", "13.0.1")))
    with pytest.raises(UnsupportedError, match=r"clang 14 or newer .*apt install clang.*mine is 13"):
        find_clang()


def test_find_clang__passes_over_an_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOWLINE_CLANG", raising=False)
    fake_clang(tmp_path, "clang", "11.1.0")
    fake_clang(tmp_path, "clang-15", "15.0.7")
    newest = fake_clang(tmp_path, "clang-17", "17.0.6")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr("shutil.which", lambda name: str(p) if (p := tmp_path / name).exists() else None)
    assert find_clang().path == str(newest)


def test_compile_program__what_is_saved_meanwhile(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves = [source.read_text().replace("NUMBER", "7")]
    run = clang._run

    def saved_meanwhile(command: list[str]) -> str:
        if "-c" in command and saves:
            source.write_text(saves.pop())
        return run(command)

    before = source.read_text()
    monkeypatch.setattr(clang, "_run", saved_meanwhile)
    compiled = compile_program(source)
    assert not saves
    source.write_text(before)
    assert compile_program(source) != compiled  # what was saved then is not taken for what stood there before
    assert len(list(compiled.parent.iterdir())) == 2


def test_find_clang__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOWLINE_CLANG", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UnsupportedError, match="apt install clang"):
        find_clang()


def test_compile_program__hits_the_cache(source: Path) -> None:
    first = compile_program(source)
    made = first.stat().st_ino
    assert compile_program(source) == first
    assert first.stat().st_ino == made  # a second compilation would have renamed another file over it
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_compile_program__misses_the_cache_for_another_header(source: Path) -> None:
    first = compile_program(source)
    (source.parent / "number.h").write_text("#define NUMBER 2\n")
    second = compile_program(source)
    assert second != first
    assert second.read_bytes() != first.read_bytes()


def test_compile_program__misses_the_cache_for_other_flags(source: Path) -> None:
    assert compile_program(source, flags=["-O3"]) != compile_program(source)


def test_compile_program__misses_the_cache_for_another_compiler(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, wrapper = find_clang().path, source.parent / "wrapper"
    objects = set()
    for version in ("98", "99"):
        wrapper.write_text(f'#!/bin/sh\n[ $1 = --version ] && exec echo clang version {version}\nexec {real} "$@"\n')
        wrapper.chmod(0o755)
        monkeypatch.setenv("TOWLINE_CLANG", str(wrapper))
        clang._ask.cache_clear()  # a process does not expect its compiler to change
        objects.add(compile_program(source))
    assert len(objects) == 2


def test_compile_program__lets_later_flags_win(source: Path) -> None:
    source.write_text("static int unused;\n")
    with pytest.raises(CompileError, match="unused"):
        compile_program(source)
    assert compile_program(source, flags=["-Wno-error"]).stat().st_size


def test_compile_program__shows_the_first_error(source: Path) -> None:
    source.write_text("int fine;\nint wrong = nothing_of_this_name;\nint also = nor_this;\n")
    with pytest.raises(CompileError, match=r"number\.bpf\.c:2:13: error: .*nothing_of_this_name") as caught:
        compile_program(source)
    assert "nor_this" in caught.value.log
    assert "nor_this" not in str(caught.value)
    assert list((source.parent / "cache/towline").iterdir()) == []


def test_compile_program__shows_an_error_in_a_header(source: Path) -> None:
    (source.parent / "number.h").write_text("int wrong = nothing_of_this_name;\n")
    with pytest.raises(CompileError, match=r"number\.h:1:13: error") as caught:  # not "In file included from"
        compile_program(source)
    assert caught.value.log.count("In file included from") == 1


def test_compile_program__shows_a_missing_header(source: Path) -> None:
    source.write_text("#include <no/such/header.h>\n")
    with pytest.raises(CompileError, match=r"no/such/header\.h"):
        compile_program(source)


def test_compile_program__names_a_cache_that_cannot_be_written(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(source))  # a file, no folder
    with pytest.raises(CompileError, match=r"cannot be written.*XDG_CACHE_HOME"):
        compile_program(source)


def test_compile_program__finds_files_with_spaces_in_their_names(source: Path) -> None:
    (source.parent / "a b#c.h").write_text("#define NUMBER 1\n")
    source.write_text('#include "a b#c.h"\nint number = NUMBER;\n')
    first = compile_program(source)
    (source.parent / "a b#c.h").write_text("#define NUMBER 3\n")
    assert compile_program(source) != first
