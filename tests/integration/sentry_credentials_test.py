# SPDX-License-Identifier: Apache-2.0
# timeout: 180
"""Credentials of remora-sentry that are brought along, are no good or change, which nobody notices, and sidecars that live
on them."""

import sdk  # noqa: F401  isort: skip

import os
import signal

import authority
from cryptography import x509
from remora import Folder, Sidecar, equal, eventually, free_port, main, need, test
from sentry_bed import SHOP_ID, Sentry, chain_of, chain_shown, uris


def given(kind, folder, old_roots=b""):
    """Credentials that somebody brings along."""
    chain = authority.Chain(kind)
    os.makedirs(folder / "creds", exist_ok=True)
    replace(folder / "creds/ca.crt", old_roots + authority.pem(chain.root))
    replace(folder / "creds/issuer.crt", authority.pem(chain.issuer))
    replace(folder / "creds/issuer.key", authority.pem_key(chain.key))
    return chain


def replace(path, text):
    with open(path + ".other", "wb") as f:
        f.write(text)
    os.rename(path + ".other", path)


@test("credentials that were brought along are used, of any kind", "INV-53")
def _():
    for kind in ("ecdsa", "rsa", "ed25519"):
        folder = Folder()
        chain = given(kind, folder)
        sentry = Sentry(folder=folder)
        leaf, issuer = chain_of(sentry.client().ask())
        equal(issuer, chain.issuer)
        leaf.verify_directly_issued_by(issuer)
        need(leaf.not_valid_after_utc <= min(issuer.not_valid_after_utc, chain.root.not_valid_after_utc), "it ends in time")
        need('level=warning msg="The issuer credentials expire on' in sentry.log(), "that they end soon is told")


@test("credentials that change are used from then on, over the same connection", "INV-53")
def _():
    sentry = Sentry()
    client = sentry.client()
    old_root = sentry.read("ca.crt")
    first = chain_of(client.ask())[1]
    chain = given("ecdsa", sentry.folder, old_root)
    eventually(lambda: chain_of(client.ask())[1] == chain.issuer, "the new issuer signs")
    equal([bytes(one) for one in client.ask().trust_chain_certificates], [old_root + authority.pem(chain.root)])
    need(first != chain.issuer, "there is a new one")
    eventually(lambda: sentry.own_chain()[0][1] == chain.issuer, "it shows a certificate of the new one")
    need('level=warning msg="Issuer credentials changed; reloading"' in sentry.log(), sentry.log())
    # Once, if the three files were changed as quickly as is meant; a part of them may have been refused before.
    changed, refused = sentry.counters()["dapr_sentry_issuercert_changed_total"], "cannot be used, the old ones stay"
    need(changed >= 1, "it is counted")
    before = sentry.log().count(refused)
    sentry.folder.write("creds/issuer.key", "nonsense")
    eventually(lambda: sentry.log().count(refused) > before, "it is told")
    equal(chain_of(client.ask())[1], chain.issuer)
    equal(sentry.counters()["dapr_sentry_issuercert_changed_total"], changed)
    with open(sentry.folder / "creds/issuer.key", "wb") as f:
        f.write(authority.pem_key(chain.key))
    sentry.signal(signal.SIGHUP)
    eventually(lambda: sentry.counters()["dapr_sentry_issuercert_changed_total"] > changed, "it is read again")
    client.ask()


@test("credentials that are no good or not whole end the start", "INV-53")
def _():
    def ends(folder, words, *flags, **more):
        sentry = Sentry(*flags, folder=folder, wait=False, **more)
        equal(sentry.wait(), 1, sentry.log())
        need(words in sentry.log() and "level=fatal" in sentry.log(), sentry.log())

    folder = Folder()
    given("ecdsa", folder)
    os.unlink(folder / "creds/issuer.key")
    ends(folder, "some files of the credentials are there and others are not")
    need(not os.path.exists(folder / "creds/issuer.key"), "nothing was written over")
    given("ecdsa", folder)
    os.rename(folder / "creds/issuer.key", folder / "creds/keep")
    given("ecdsa", folder)
    os.rename(folder / "creds/keep", folder / "creds/issuer.key")
    ends(folder, "issuer key does not match issuer certificate")
    ends(Folder(), "mode kubernetes", "--mode", "kubernetes")
    ends(Folder(), "oidc-enabled is not implemented", "--oidc-enabled")
    ends(Folder(), "there is no join token in it", "--join-token-file", folder.write("none", "# nothing\n"))
    ends(Folder(), "invalid token validator name: 'magic'", mtls="    tokenValidators:\n    - name: magic\n")
    ends(Folder(), "cannot be configured manually", mtls="    tokenValidators:\n    - name: kubernetes\n")
    ends(Folder(), "error parsing workloadCertTTL duration", mtls="    workloadCertTTL: tomorrow\n")
    ends(Folder(), "make no SPIFFE ID", "--trust-domain", "No/Domain")
    ends(Folder(), "couldn't find config name", "--config", "/nonexistent.yaml")


# --- sidecars ---------------------------------------------------------------------------------------------------------


def sidecar(sentry, token=None, anchors=None, **more):
    """Trusts what is in ca.crt, whenever that changes, or the anchors given."""
    internal = free_port()
    env = {"PATH": os.environ["PATH"]}
    if anchors:
        env["DAPR_TRUST_ANCHORS"] = anchors.decode()
    else:
        env["DAPR_TRUST_ANCHORS_FILE"] = sentry.folder / "creds/ca.crt"
    if token is not None:
        env["DAPR_SENTRY_TOKEN_FILE"] = Folder().write("token", token)
    flags = ["--enable-mtls", "--sentry-address", f"127.0.0.1:{sentry.port}", "--dapr-internal-grpc-port", str(internal)]
    made = Sidecar(flags=flags, env=env, **more)
    made.internal = internal
    return made


def shown(port):
    """The certificates at a port of the mesh."""
    return chain_shown(port)[0]


@test("a sidecar gets its identity with a join token, and waits without", "INV-53")
def _():
    folder = Folder()
    path = folder.write("tokens", "secret-of-the-shop-1\n")
    sentry = Sentry("--join-token-file", path, folder=folder)
    stranger = sidecar(sentry, "not-the-right-secret", wait=False)
    shop = sidecar(sentry, "secret-of-the-shop-1\n")
    leaf, issuer = shown(shop.internal)
    equal((uris(leaf), issuer), ([SHOP_ID], x509.load_pem_x509_certificate(sentry.read("issuer.crt"))))
    eventually(lambda: "the join token is not known" in sentry.log(), "the stranger has asked")
    need(stranger.is_alive() and stranger.healthz() == 0, "it waits, and listens on nothing")
    folder.write("tokens", "not-the-right-secret\n")
    stranger.wait_ready(60)


@test("a sidecar renews certificates of a short life, and believes only who it should", "INV-53")
def _():
    sentry = Sentry(mtls="    workloadCertTTL: 4s\n")
    shop = sidecar(sentry)
    first = shown(shop.internal)[0].serial_number
    eventually(lambda: shown(shop.internal)[0].serial_number != first, "it has another certificate")
    foreign = Sentry()
    doubter = sidecar(sentry, anchors=foreign.read("ca.crt"), wait=False)
    eventually(lambda: "certificate" in doubter.log(), "it says why it goes on asking")
    need(doubter.is_alive() and doubter.healthz() == 0, "it does not start")


@test("a root is exchanged under a sidecar that runs", "INV-53")
def _():
    sentry = Sentry(mtls="    workloadCertTTL: 4s\n")
    shop = sidecar(sentry)
    old = sentry.read("ca.crt")
    first = shown(shop.internal)[1]
    chain = given("ed25519", sentry.folder, old)
    eventually(lambda: shown(shop.internal)[1] == chain.issuer, "the sidecar has a certificate of the new issuer")
    need(first != chain.issuer, "the issuer is another")
    replace(sentry.folder / "creds/ca.crt", authority.pem(chain.root))
    client = sentry.client()
    eventually(lambda: [bytes(one) for one in client.ask().trust_chain_certificates] == [authority.pem(chain.root)],
               "the old root is gone")  # fmt: skip
    last = shown(shop.internal)[0].serial_number
    eventually(lambda: shown(shop.internal)[0].serial_number != last, "it renews on")
    equal(shop.healthz(), 204)


main()
