"""Where the master key comes from: the setting, the home's own file, or nowhere."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from commands.secrets.sealing import MasterKeys, WrongMasterKey
from deploy.master import FILE, master_keys
from deploy.settings import BadSetting, Settings

ONE, OTHER = base64.b64encode(b"1" * 32).decode(), base64.b64encode(b"2" * 32).decode()
KEPT = MasterKeys([b"1" * 32]).wrap("a-1", b"key", os.urandom)
EXTERNAL = "postgresql://somewhere/corral"


def settings(home: Path, key: str = "", postgres: str = "") -> Settings:
    return Settings(home=home, postgres=postgres, master_key=SecretStr(key))


def test_an_embedded_home_makes_its_own_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = master_keys(settings(tmp_path), tmp_path)
    file = tmp_path / FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = master_keys(settings(tmp_path), tmp_path)
    assert again.unwrap("a-1", first.wrap("a-1", b"key", os.urandom)) == b"key"
    assert list(tmp_path.iterdir()) == [file]


def test_a_start_that_was_cut_off_in_the_middle_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "master.key.new").write_text("half a k")
    master_keys(settings(tmp_path), tmp_path)
    assert len((tmp_path / FILE).read_text()) == 45


def test_with_a_postgres_of_others_none_is_made_but_one_that_is_there_counts(tmp_path: Path) -> None:
    bare = master_keys(settings(tmp_path, postgres=EXTERNAL), tmp_path)
    assert not (tmp_path / FILE).exists()
    with pytest.raises(WrongMasterKey, match="none was given"):
        bare.unwrap("a-1", KEPT)
    (tmp_path / FILE).write_text(f"{ONE}\n")
    assert master_keys(settings(tmp_path, postgres=EXTERNAL), tmp_path).unwrap("a-1", KEPT) == b"key"


@pytest.mark.parametrize("form", ["{one}", "{other}, {one}", "{file}", "{other},{file}"])
def test_the_setting_names_keys_or_files(tmp_path: Path, form: str) -> None:
    file = tmp_path / "keys"
    file.write_text(f"\n{OTHER}\n {ONE} \n")
    given = form.format(one=ONE, other=OTHER, file=file)
    assert master_keys(settings(tmp_path, given), tmp_path).unwrap("a-1", KEPT) == b"key"
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("given", ["short", "/no/such/file", base64.b64encode(b"31 bytes, which is one too few.").decode(), f"{ONE},"])
def test_what_is_neither_a_key_nor_a_file_is_refused_with_what_to_do(tmp_path: Path, given: str) -> None:
    with pytest.raises(BadSetting, match=r"32 bytes in base64 \(head -c 32 /dev/urandom \| base64\)") as caught:
        master_keys(settings(tmp_path, given), tmp_path)
    assert given not in str(caught.value), "it may have been meant as the key"


def test_a_file_without_a_key_is_named(tmp_path: Path) -> None:
    for content in ("", "no key\n", f"{ONE}\nno key\n"):
        (tmp_path / FILE).write_text(content)
        with pytest.raises(BadSetting, match=FILE):
            master_keys(settings(tmp_path), tmp_path)


def test_the_settings_never_say_the_key(tmp_path: Path) -> None:
    assert ONE not in repr(settings(tmp_path, ONE)) + str(settings(tmp_path, ONE).model_dump())
