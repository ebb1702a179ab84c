# SPDX-License-Identifier: Apache-2.0
"""A relay of TCP connections on an event loop of its own, which does to them what networks do: delays, throttles, loses,
cuts, refuses. It can also end TLS on either side with Python's own, so that a peer without TLS gets it, and judge who is
at the other end by the certificate. Everything may be changed while connections are open."""

import asyncio
import socket
import struct
import threading

from remora import DEADLINE_S, _live, free_port

PIECE_BYTES = 64 * 1024


class Way:
    """What happens to bytes of one direction."""

    def __init__(self):
        self.delay_s = 0.0  # each piece waits so long
        self.bytes_a_second = 0  # 0: no limit
        self.is_lost = False  # taken from the sender and given to nobody
        self.is_stuck = False  # not even taken
        self.cut_after = None  # so many bytes more, then the connection is reset
        self.passed = 0


class Relay:
    """Listens on `address` and connects each connection to `target`. `up` is towards the target, `down` back.

    `server_tls` and `client_tls` are contexts; `judge(certificate)` is asked about the other end's, as getpeercert()
    gives it, and its False ends the connection."""

    def __init__(self, target, host="127.0.0.1", port=None, server_tls=None, client_tls=None, judge=None):
        self.target, self.host, self.port = target, host, port or free_port(host)
        self.server_tls, self.client_tls, self.judge = server_tls, client_tls, judge
        self.up, self.down = Way(), Way()
        self.connections = 0  # so far
        self.errors = []  # why connections failed, TLS above all
        self.certificates = []  # of the other ends, in order
        self._open = set()
        self._stranded = set()
        self._server = None
        self._loop = asyncio.new_event_loop()
        # A handshake that fails is told to nobody else.
        self._loop.set_exception_handler(lambda loop, said: self.errors.append(repr(said.get("exception", said["message"]))))
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.listen()
        _live.append(self)

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    # --- from the test's thread ---

    def listen(self):
        self._do(self._listen())

    def refuse(self):
        """Nobody listens any more; open connections stay."""
        self._do(self._stop_listening())

    def cut(self):
        """Resets every open connection."""
        self._do(self._cut())

    def lose(self, is_lost=True):
        """Both directions lose every byte; the connections stay open, as with a cable pulled out."""
        self.up.is_lost = self.down.is_lost = is_lost

    def strand(self):
        """Connections that are open lose every byte for good; new ones are as good as any."""
        self._stranded |= self._open

    def mend(self):
        """Everything as at first; what was lost stays so."""
        for way in (self.up, self.down):
            passed = way.passed
            way.__init__()
            way.passed = passed

    def open_count(self):
        return len(self._open)

    def end(self):
        if self._loop is None:
            return  # twice is once
        try:
            self._do(self._end())
        except TimeoutError:
            pass
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop = None

    def _do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE_S)

    # --- on the loop ---

    async def _listen(self):
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, self.host, self.port, ssl=self.server_tls, limit=PIECE_BYTES, backlog=1024
            )

    async def _stop_listening(self):
        if self._server:
            self._server.close()
            self._server = None

    async def _cut(self):
        for writer in list(self._open):
            reset(writer)

    async def _end(self):
        await self._stop_listening()
        await self._cut()
        for task in asyncio.all_tasks():
            if task is not asyncio.current_task():
                task.cancel()

    async def _serve(self, reader, writer):
        self.connections += 1
        self._open.add(writer)
        other = None
        try:
            if self.server_tls:
                self._meet(writer)
            host, _, port = self.target.rpartition(":")
            there, other = await asyncio.open_connection(
                host.strip("[]"), int(port), ssl=self.client_tls, limit=PIECE_BYTES,
                server_hostname="" if self.client_tls else None,
            )
            self._open.add(other)
            if self.client_tls:
                self._meet(other)
            tasks = [asyncio.ensure_future(self._pass(reader, other, self.up)),
                     asyncio.ensure_future(self._pass(there, writer, self.down))]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
            for one in (writer, other):
                one.close()  # what is left is sent
        except (OSError, EOFError, asyncio.CancelledError) as error:
            self.errors.append(repr(error))
            for one in filter(None, (writer, other)):
                reset(one)
        finally:
            self._open -= {writer, other}
            self._stranded -= {writer, other}

    def _meet(self, writer):
        certificate = writer.get_extra_info("peercert")
        self.certificates.append(certificate)
        if self.judge is not None and not self.judge(certificate):
            raise EOFError("not welcome")

    async def _pass(self, reader, writer, way):
        while True:
            while way.is_stuck:
                await asyncio.sleep(0.002)
            piece = await reader.read(PIECE_BYTES)
            if way.delay_s:
                await asyncio.sleep(way.delay_s)
            if way.bytes_a_second:
                await asyncio.sleep(len(piece) / way.bytes_a_second)
            if way.is_lost or writer in self._stranded:
                if not piece:
                    await asyncio.Event().wait()  # an end that nobody hears of
                continue
            if way.cut_after is not None:
                way.cut_after -= len(piece)
                if way.cut_after <= 0:
                    writer.write(piece[: len(piece) + way.cut_after])
                    raise EOFError("cut as told")
            if not piece:
                if writer.can_write_eof():
                    writer.write_eof()
                else:
                    writer.close()
                return
            way.passed += len(piece)
            writer.write(piece)
            await writer.drain()


def reset(writer):
    """Ends a connection the hard way, with whatever is still to be sent."""
    try:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    except (OSError, AttributeError):
        pass  # it has just ended by itself; TLS then has no socket any more
