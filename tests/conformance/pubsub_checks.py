# SPDX-License-Identifier: Apache-2.0
"""The requirements every broker must meet; see checks.py."""
import os
import time

from checks import HANDLE, check
from kernel import SECONDS, need
import plugin_pb2 as pb

TOPIC = "conform-orders"


def named(link, topic):
    """A broker that outlives a check would remember the topics of the one before."""
    if not hasattr(link, "topics"):
        link.topics = os.urandom(8).hex()
    return f"{topic}-{link.topics}"


def publish(link, data, topic=TOPIC, **fields):
    message = pb.PubsubPublish(topic=named(link, topic), content_type="text/plain", **fields)
    answer = link.call(pb.METHOD_PUBSUB_PUBLISH, HANDLE, message, data)
    need(answer.status.code == 0, f"publish failed: {answer.status.message}")


def subscribe(link, number=9, topic=TOPIC, window=100):
    wanted = pb.PubsubSubscribe(subscription=number, topic=named(link, topic), window=window)
    answer = link.call(pb.METHOD_PUBSUB_SUBSCRIBE, HANDLE, wanted)
    need(answer.status.code == 0, f"subscribe failed: {answer.status.message}")


class Delivery:
    """One message that the plugin has handed over in a frame."""

    def __init__(self, link, frame):
        need(frame.method == pb.METHOD_HOST_DELIVER, f"it calls method {frame.method}")
        said = pb.HostDeliver()
        said.ParseFromString(frame.payload[: frame.message_bytes])
        need(len(said.messages) == 1, f"{len(said.messages)} messages for a subscription without batches")
        self.link, self.frame, self.subscription, self.message = link, frame, said.subscription, said.messages[0]
        self.data = frame.payload[frame.message_bytes :]
        need(len(self.data) == self.message.data_bytes, "data_bytes is not the length of the data")

    def verdict(self, verdict=pb.VERDICT_DONE):
        self.link.answer(self.frame, pb.HostDeliverReply(verdicts=[verdict]))


def deliveries(link, count, seconds=SECONDS):
    """The next ones, which are forgotten here."""
    link.wait(lambda: len(link.host_requests) >= count, f"{count} messages", seconds)
    frames, link.host_requests = link.host_requests[:count], link.host_requests[count:]
    return [Delivery(link, frame) for frame in frames]


def settle(link):
    """Everything that is on its way has arrived: it is quiet for a while."""
    while link.pump(0.5):
        pass


@check(needs="pubsub")
def pubsub_deliver(bench):
    """hands each message of a topic to its subscription, in order, with its bytes and their type"""
    link = bench.component()
    subscribe(link)
    subscribe(link, 11, "conform-others")
    sent = [b"first", b"", b"\0\xff\n" * 100, b"x" * 30000, b"last"]
    for data in sent:
        publish(link, data)
    publish(link, b"other", "conform-others")
    publish(link, b"nobody's", "conform-nobody")
    got = deliveries(link, len(sent) + 1)
    for one in got:
        one.verdict()
    need([one.data for one in got if one.subscription == 9] == sent, "not the messages in their order")
    need([one.data for one in got if one.subscription == 11] == [b"other"], "not the message of the other topic")
    need({one.message.content_type for one in got} <= {"text/plain", ""}, "another content type")
    settle(link)
    need(link.host_requests == [], "a message came again")


@check(needs="pubsub")
def pubsub_window(bench):
    """has no more messages of a subscription on their way than its window"""
    link = bench.component()
    subscribe(link, window=3)
    for n in range(8):
        publish(link, b"%d" % n)
    first = deliveries(link, 3)
    settle(link)
    need(link.host_requests == [], "more than three at a time")
    first[1].verdict()
    (fourth,) = deliveries(link, 1)
    settle(link)
    need(link.host_requests == [], "more than one for one")
    need(fourth.data == b"3", f"the fourth is {fourth.data}")


@check(needs="BULK_PUBLISH")
def pubsub_bulk(bench):
    """publishes many messages in one call"""
    link = bench.component()
    subscribe(link)
    sent = [b"a", b"", b"ccc"] + [b"%d" % n for n in range(300)]
    entries = [pb.PubsubPublishBulk.Entry(entry_id=str(i), content_type="text/plain", data_bytes=len(data))
               for i, data in enumerate(sent)]
    request = pb.PubsubPublishBulk(topic=named(link, TOPIC), entries=entries)
    answer = link.call(pb.METHOD_PUBSUB_PUBLISH_BULK, HANDLE, request, b"".join(sent))
    need(answer.status.code == 0, f"publish failed: {answer.status.message}")
    need(not answer.message(pb.PubsubPublishBulkReply).failures, "some failed")
    got = []
    while len(got) < len(sent):
        (one,) = deliveries(link, 1)
        one.verdict()
        got.append(one.data)
    need(got == sent, "not the messages in their order")


@check(needs="redelivery")
def pubsub_retry(bench):
    """delivers again what was refused, and not what was handled"""
    link = bench.component()
    subscribe(link)
    publish(link, b"refused")
    publish(link, b"handled")
    for one in deliveries(link, 2):
        one.verdict(pb.VERDICT_RETRY if one.data == b"refused" else pb.VERDICT_DONE)
    (again,) = deliveries(link, 1)
    need(again.data == b"refused", f"{again.data} came again")
    again.verdict()
    settle(link)
    need(link.host_requests == [], "a message came again")


def drain(bench, method, message):
    link = bench.component()
    subscribe(link)
    publish(link, b"1")
    (one,) = deliveries(link, 1)
    end = link.open(method, HANDLE, message)
    need(link.call(pb.METHOD_PING, 0).status.code == 0, "no answer meanwhile")
    settle(link)
    need(not end.is_complete, "it is answered while a message is on its way")
    one.verdict()
    link.finish(end)
    need(end.status.code == 0, f"it failed: {end.status.message}")
    return link


@check(needs="pubsub")
def pubsub_unsubscribe(bench):
    """ends a subscription when what is on its way is settled, and hands nothing over afterwards"""
    link = drain(bench, pb.METHOD_PUBSUB_UNSUBSCRIBE, pb.PubsubUnsubscribe(subscription=9))
    publish(link, b"2")
    settle(link)
    need(link.host_requests == [], "a message came after the end")
    answer = link.call(pb.METHOD_PUBSUB_UNSUBSCRIBE, HANDLE, pb.PubsubUnsubscribe(subscription=9))
    need(answer.status.code == pb.CODE_NOT_FOUND, f"code {answer.status.code} for a subscription that is not there")


@check(needs="pubsub")
def pubsub_quiesce(bench):
    """quiesces when what is on its way is settled, and can be closed then"""
    link = drain(bench, pb.METHOD_QUIESCE, b"")
    need(link.call(pb.METHOD_CLOSE, HANDLE).status.code == 0, "close failed")
    settle(link)
    need(link.host_requests == [], "a message came after the end")


@check(needs="pubsub")
def pubsub_closed_in_flight(bench):
    """survives a close while messages are on their way"""
    link = bench.component()
    subscribe(link)
    for n in range(5):
        publish(link, b"%d" % n)
    got = deliveries(link, 5)
    need(link.call(pb.METHOD_CLOSE, HANDLE).status.code == 0, "close failed")
    for one in got:
        one.verdict()
    settle(link)
    need(link.call(pb.METHOD_PING, 0).status.code == 0, "no answer afterwards")
