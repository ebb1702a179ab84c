# SPDX-License-Identifier: Apache-2.0
"""Documents with the official Python SDK on asyncio: crypto.py PROVIDER KEY WRAP. DAPR_HTTP_PORT and DAPR_GRPC_PORT lead
to the sidecar, as a launcher sets them. Ends with 0 when every answer was the right one."""
import asyncio
import sys

from dapr.aio.clients import DaprClient
from dapr.clients.grpc._crypto import DecryptOptions, EncryptOptions

PROVIDER, KEY, WRAP = sys.argv[1:]


async def main():
    async with DaprClient() as client:
        for data in (b"x", "größe, 漢字 and 🎲".encode(), bytes(range(256)) * 4000):
            for cipher in ("aes-gcm", "chacha20-poly1305"):
                options = EncryptOptions(PROVIDER, KEY, WRAP, data_encryption_cipher=cipher)
                sealed = await (await client.encrypt(data, options)).read()
                assert sealed.startswith(b"dapr.io/enc/v1\n") and data[:100] not in sealed or data == b"x", sealed[:100]
                opened = await (await client.decrypt(sealed, DecryptOptions(PROVIDER))).read()
                assert opened == data, len(opened)
        try:
            await (await client.decrypt(sealed[:-1], DecryptOptions(PROVIDER))).read()
        except Exception as error:
            assert "failed to decrypt segment" in str(error), error
        else:
            raise AssertionError("a cut document was decrypted")
    print("all is well")


asyncio.run(main())
