# SPDX-License-Identifier: Apache-2.0
"""A mail server: `server.py SETTINGS`, JSON with port, folder, users, and to offer TLS
certificate and key. Letters become files of the folder, 1.json and so on. It knows nobody@, takes forever for slow@, and does not want
letters that say "unwanted"."""
import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

settings = json.loads(sys.argv[1])
count = 0


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("slow@"):
            await asyncio.sleep(1000)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        global count
        if b"unwanted" in envelope.original_content:
            return "554 5.7.1 not wanted here"
        count += 1
        letter = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "text": envelope.original_content.decode("latin-1"),
                  "name": session.host_name, "is_tls": session.ssl is not None,
                  "user": session.auth_data.login.decode() if session.auth_data else None}
        path = os.path.join(settings["folder"], f"{count}.json")
        with open(path + ".new", "w") as f:
            json.dump(letter, f)
        os.replace(path + ".new", path)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    known = settings["users"].get(data.login.decode())
    return AuthResult(success=known is not None and known == data.password.decode(), auth_data=data, handled=False)


def make():
    tls = context() if "key" in settings else None
    return SMTP(Handler(), hostname="mail.example.com", tls_context=tls, authenticator=authenticate,
                auth_required=bool(settings["users"]), auth_require_tls=tls is not None)


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(settings["certificate"], settings["key"])
    return made


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", settings["port"])
    async with server:
        await server.serve_forever()


asyncio.run(main())
