#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bindings.smtp against a mail server that is not ours (aiosmtpd): letters, who gets them, TLS and passwords, refusals, and
what somebody might try to smuggle in."""
import email
import email.policy
import json

from certificates import Certificates
from remora import Folder, Sidecar, component, equal, eventually, main, need, test
from servers import Mail

HTML = "<p>Caf\u00e9, 100 % = \"good\"</p>\n.\n" + 200 * "x"
folder = Folder()
tls = Certificates(folder)
plain = Mail()
safe = Mail(tls, ann="s3cret")


def mail(name, server, **metadata):
    values = {"host": "127.0.0.1", "port": server.port, "emailFrom": "shop@example.com", "subject": "Your order", **metadata}
    return component(name, "bindings.smtp", [(n, str(value)) for n, value in values.items()])


sidecar = Sidecar(
    mail("plain", plain),
    mail("all", plain, emailTo="a@example.com;b@example.com", emailCC="c@example.com", emailBCC="d@example.com", priority=1),
    mail("safe", safe, user="ann", password="s3cret"),
    mail("wrong", safe, user="ann", password="gu3ss"),
    mail("skipping", safe, user="ann", password="s3cret", skipTLSVerify="true"),
    mail("nowhere", plain, port=9),
    env={"PATH": "/usr/bin:/bin", "SSL_CERT_FILE": tls.path("ca.pem")},
)


def send(binding, data="<b>hello</b>", sidecar=sidecar, **metadata):
    body = json.dumps({"operation": "create", "data": data, "metadata": metadata})
    return sidecar.call("POST", f"/v1.0/bindings/{binding}", body)


def newest(server, before):
    equal(len(server.letters()), before + 1, "letters")
    letter = server.letters()[-1]
    letter["message"] = email.message_from_bytes(letter["text"].encode("latin-1"), policy=email.policy.default)
    return letter


def refused(reply, words):
    need(reply.status == 500 and words in reply.text, f"{reply.status} {reply.text}, not {words}")


@test("a letter arrives as it was meant", "BIND-02")
def _():
    before = len(plain.letters())
    reply = send("plain", HTML, emailTo="J\u00f6rg Example <j@example.com>", subject="Ihre Bestellung \u2713")
    equal((reply.status, reply.text), (204, ""))
    letter = newest(plain, before)
    message = letter["message"]
    equal((letter["from"], letter["to"], letter["name"]), ("shop@example.com", ["j@example.com"], "localhost"))
    equal(message["Subject"], "Ihre Bestellung \u2713")
    equal(message["To"].addresses[0].display_name, "J\u00f6rg Example")
    equal((message["From"], message["X-priority"], message["Mime-Version"]), ("shop@example.com", "3", "1.0"))
    equal(message.get_content_type(), "text/html")
    equal(message.get_content().replace("\r\n", "\n"), HTML + "\n")
    need(message["Date"].datetime.tzinfo is not None, "a date")


@test("lists are for all of them, and who gets a blind copy is not told", "BIND-02")
def _():
    before = len(plain.letters())
    equal(send("all").status, 204)
    letter = newest(plain, before)
    equal(letter["to"], ["a@example.com", "b@example.com", "c@example.com", "d@example.com"])
    equal((letter["message"]["To"], letter["message"]["Cc"]), ("a@example.com, b@example.com", "c@example.com"))
    need("d@example.com" not in letter["text"], "the blind copy is told of")
    equal(letter["message"]["X-priority"], "1")
    equal(send("all", emailTo="x@example.com", emailCC="y@example.com", emailBCC="z@example.com", priority="5").status, 204)
    letter = newest(plain, before + 1)
    equal((letter["to"], letter["message"]["X-priority"]), (["x@example.com", "y@example.com", "z@example.com"], "5"))


@test("a server that offers TLS gets it, and the password only then", "BIND-02")
def _():
    before = len(safe.letters())
    equal(send("safe", emailTo="a@example.com").status, 204)
    letter = newest(safe, before)
    equal((letter["is_tls"], letter["user"]), (True, "ann"))
    refused(send("wrong", emailTo="a@example.com"), "535")
    untrusting = Sidecar(mail("safe", safe, user="ann", password="s3cret"),
                         mail("skipping", safe, user="ann", password="s3cret", skipTLSVerify="true"))
    refused(send("safe", emailTo="a@example.com", sidecar=untrusting), "certificate")
    equal(send("skipping", emailTo="a@example.com", sidecar=untrusting).status, 204)
    equal(newest(safe, before + 1)["is_tls"], True)
    for log in (sidecar.log(), untrusting.log()):
        need("s3cret" not in log and "gu3ss" not in log, "a password in the log")


@test("what is refused is told in the server's words", "BIND-04")
def _():
    before = len(plain.letters())
    refused(send("plain", emailTo="a@example.com;nobody@example.com"), "550 5.1.1 no such mailbox")
    refused(send("plain", "unwanted", emailTo="a@example.com"), "554 5.7.1 not wanted here")
    refused(send("nowhere", emailTo="a@example.com"), "error from smtp binding, sending email failed: ")
    refused(send("plain"), "smtp binding error: emailTo property not supplied in configuration- or request-metadata")
    refused(send("plain", emailTo="a@example.com", priority="6"), "priority value must be between 1 (highest) and 5 (lowest)")
    refused(send("plain", emailTo="a@example.com", priority="high"), "invalid syntax")
    equal(len(plain.letters()), before, "letters")


@test("nothing in a request becomes a line of the letter or a command", "BIND-04")
def _():
    before = len(plain.letters())
    for metadata in ({"subject": "s\r\nBcc: x@example.com"}, {"emailTo": "a@example.com\r\nRCPT TO:<x@example.com>"},
                     {"emailTo": "<a@example.com> SIZE=0>"}, {"emailFrom": "a@example.com>\r\nDATA"},
                     {"emailCC": "a@example.com, b@example.com"}, {"emailTo": "Ann\nBcc: x@y <a@example.com>"}):
        reply = send("plain", **{"emailTo": "a@example.com", **metadata})
        need(reply.status == 500, f"{metadata} gave {reply.status}")
    equal(len(plain.letters()), before, "letters")
    equal(send("plain", "a\r\n.\r\nMAIL FROM:<x@y>\r\n..\r\n", emailTo="a@example.com").status, 204)
    text = newest(plain, before)["message"].get_content().replace("\r\n", "\n")
    equal(text, "a\n.\nMAIL FROM:<x@y>\n..\n\n")


@test("components without what they need are refused", "BIND-02")
def _():
    for metadata, words in ((dict(host=""), "host and port fields are required"), (dict(port="0"), "host and port fields"),
                            (dict(user="ann"), "both user and password fields are required"),
                            (dict(priority="9"), "priority value must be between"),
                            (dict(host="a/b"), "host is not the name of one")):
        broken = Sidecar(mail("broken", plain, **metadata), wait=False)
        eventually(lambda: not broken.is_alive(), "the end")
        need(words in broken.log(), f"{words} is not in the log")


main()
