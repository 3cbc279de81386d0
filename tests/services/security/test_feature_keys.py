"""Encrypted features: what is bound to what, which keys read what, and what is said where one is missing."""

from __future__ import annotations

import builtins
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messages import Audit, Escalation, MessageError
from services.security.feature_keys import OVERHEAD_BYTES, FeatureKeys, KeyUnknownError
from services.settings import CloudSettings, SettingsError

names = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=20)
escalations = st.builds(
    Escalation,
    id=names,
    site=names,
    worker=names,
    device=names,
    network_id=names,
    attempt=st.integers(1, 100),
    exits=st.just(((1, 0.5),)),
    features=st.binary(max_size=200),
    captured_at=st.just(1e9),
    audit=st.none() | st.builds(Audit, exit=st.integers(0, 63), share=st.floats(1e-6, 1)),
)
BOUND = ("id", "site", "worker", "device", "network_id")


def key_file(path: Path, *keys: str) -> Path:
    path.write_text("# keys\n\n" + "".join(f"{key}\n" for key in keys))
    path.chmod(0o600)
    return path


def key() -> str:
    return os.urandom(32).hex()


def keys_of(path: Path, *keys: str) -> FeatureKeys:
    return FeatureKeys(key_file(path, *keys), setting="edge.features_key_file")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> FeatureKeys:
    return keys_of(tmp_path_factory.mktemp("keys") / "keys", key())


@pytest.fixture(scope="module")
def plain() -> Escalation:
    return Escalation("id", "site", "edge-1", "device", "0123456789ab", 1, ((1, 0.5),), b"features" * 8, 1e9)


@given(escalation=escalations)
def test_what_is_encrypted_and_sent_is_what_was_meant(keys, escalation):
    sent = Escalation.decode(keys.encrypt(escalation).encode())
    assert keys.decrypt(sent) == escalation


@given(escalation=escalations, field=st.sampled_from(BOUND), other=names)
def test_features_belong_to_one_sample_of_one_edge_and_network(keys, escalation, field, other):
    moved = replace(keys.encrypt(escalation), **{field: getattr(escalation, field) + other})
    with pytest.raises(MessageError, match="bad_encryption"):
        keys.decrypt(moved)


@pytest.mark.parametrize("other", [None, Audit(1, 0.5), Audit(0, 0.25)])
def test_an_audit_is_made_no_escalation_and_none_of_another_weight(keys, plain, other):
    one = keys.encrypt(replace(plain, audit=Audit(0, 0.5)))
    with pytest.raises(MessageError, match="bad_encryption"):
        keys.decrypt(replace(one, audit=other))
    with pytest.raises(MessageError, match="bad_encryption"):
        keys.decrypt(replace(keys.encrypt(plain), audit=Audit(0, 0.5)))


@given(left=names, right=names)
def test_no_two_samples_share_a_binding_because_their_names_run_together(keys, plain, left, right):
    one = keys.encrypt(replace(plain, device=left + right, id=right))
    with pytest.raises(MessageError, match="bad_encryption"):
        keys.decrypt(replace(one, device=left, id=right + right))


@given(escalation=escalations, data=st.data())
def test_a_flipped_bit_anywhere_is_found(keys, escalation, data):
    sent = keys.encrypt(escalation)
    place = data.draw(st.integers(0, len(sent.features) * 8 - 1))
    altered = bytearray(sent.features)
    altered[place // 8] ^= 1 << place % 8
    with pytest.raises(MessageError, match="bad_encryption"):
        keys.decrypt(replace(sent, features=bytes(altered)))


@given(features=st.binary(max_size=64))
def test_bytes_that_were_never_encrypted_are_refused(keys, plain, features):
    with pytest.raises(MessageError, match="bad_encryption"):
        keys.decrypt(replace(plain, features=features, key=keys.ids[0]))


def test_an_operator_may_send_again_without_the_key(keys, plain):
    again = replace(keys.encrypt(plain), attempt=2)
    assert keys.decrypt(again) == replace(plain, attempt=2)


def test_plain_features_pass(keys, plain):
    assert keys.decrypt(plain) is plain


def test_the_same_features_look_different_each_time_and_tell_nothing(keys, plain):
    one, other = keys.encrypt(plain), keys.encrypt(plain)
    assert one.features != other.features
    assert plain.features not in one.encode()


def test_the_overhead_is_what_the_documentation_says(keys, plain):
    assert len(keys.encrypt(plain).encode()) - len(plain.encode()) == OVERHEAD_BYTES == 41


def test_keys_rotate_the_first_writes_and_all_read(tmp_path, plain):
    old, new = key(), key()
    before, after = keys_of(tmp_path / "before", old), keys_of(tmp_path / "after", new, old)
    assert after.encrypt(plain).key == after.ids[0] != before.ids[0]
    assert after.decrypt(before.encrypt(plain)) == plain


def test_a_key_that_is_not_in_the_file_is_named_and_is_no_fault_of_the_message(tmp_path, keys, plain):
    other = keys_of(tmp_path / "keys", key())
    with pytest.raises(KeyUnknownError, match=other.ids[0]):
        keys.decrypt(other.encrypt(plain))


def test_a_key_that_is_added_to_the_file_is_found_without_a_restart(tmp_path, plain, wait_for):
    old, new = key(), key()
    reading, writing = keys_of(tmp_path / "reading", old), keys_of(tmp_path / "writing", new)
    sent = writing.encrypt(plain)
    key_file(tmp_path / "reading", old, new)

    def read() -> bool:
        try:
            return reading.decrypt(sent) == plain
        except KeyUnknownError:
            return False

    wait_for(read, "the key is found")


def test_a_file_that_is_damaged_meanwhile_takes_no_key_away(tmp_path, keys, plain, wait_for):
    own = keys_of(tmp_path / "keys", key())
    sent = own.encrypt(plain)
    (tmp_path / "keys").write_text("half a k")
    own._looked_at = 0.0
    with pytest.raises(KeyUnknownError):
        own.decrypt(keys.encrypt(plain))
    assert own.decrypt(sent) == plain


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("12ab\n", "line 1: needs 64 hexadecimal digits"),
        ("# none\n", "holds no key"),
        ("x" * 64, "line 1: needs 64 hexadecimal digits"),
    ],
)
def test_a_file_that_holds_no_key_is_told_without_its_content(tmp_path, content, told):
    (tmp_path / "keys").write_text(content)
    with pytest.raises(SettingsError, match=told) as caught:
        FeatureKeys(tmp_path / "keys", setting="edge.features_key_file")
    assert content.strip() not in str(caught.value)


def test_without_the_package_the_remedy_is_told(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    ordinary = builtins.__import__

    def missing(name, *rest):
        if name.startswith("cryptography"):
            raise ImportError(name)
        return ordinary(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(SettingsError, match=r"dewpoint\[encryption\]"):
        keys_of(tmp_path / "keys", key())


def test_who_refuses_plain_features_must_have_keys():
    with pytest.raises(ValueError, match="encrypted_only needs features_key_file"):
        CloudSettings(encrypted_only=True)
