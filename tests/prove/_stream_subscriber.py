# SPDX-License-Identifier: Apache-2.0
"""A client that takes the events of topic `orders` over open streams, and writes each down before it says that it has it,
to be killed: PORT FILE [STREAMS]. A stream that ends is opened again. In the Python environment of the official SDK."""
import os
import queue
import sys
import threading
import time

import grpc
from dapr.proto import api_v1, appcallback_v1

PORT, PATH = int(sys.argv[1]), sys.argv[2]
STREAMS = int(sys.argv[3]) if len(sys.argv) > 3 else 2
SUCCESS = appcallback_v1.TopicEventResponse(status=appcallback_v1.TopicEventResponse.SUCCESS)
METHOD = "/dapr.proto.runtime.v1.Dapr/SubscribeTopicEventsAlpha1"
fd = os.open(PATH, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def listen():
    """Until the stream ends, in whatever way."""
    out = queue.Queue()
    first = api_v1.SubscribeTopicEventsRequestInitialAlpha1(pubsub_name="bus", topic="orders")
    out.put(api_v1.SubscribeTopicEventsRequestAlpha1(initial_request=first))
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{PORT}", options=options) as channel:
        call = channel.stream_stream(
            METHOD,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=api_v1.SubscribeTopicEventsResponseAlpha1.FromString,
        )(iter(out.get, None))
        try:
            for message in call:
                if message.WhichOneof("subscribe_topic_events_response_type") != "event_message":
                    continue
                event = message.event_message
                os.write(fd, f"{event.path} {event.data.decode()}\n".encode())
                done = api_v1.SubscribeTopicEventsRequestProcessedAlpha1(id=event.id, status=SUCCESS)
                out.put(api_v1.SubscribeTopicEventsRequestAlpha1(event_processed=done))
        except grpc.RpcError:
            pass  # it is opened again
        finally:
            out.put(None)


def listen_again_and_again():
    while True:
        listen()
        time.sleep(0.05)


for _ in range(STREAMS):
    threading.Thread(target=listen_again_and_again, daemon=True).start()
while os.getppid() != 1:
    time.sleep(1)
