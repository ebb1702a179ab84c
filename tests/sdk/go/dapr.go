// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const service = "/dapr.proto.runtime.v1.Dapr/"

func field(message []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(message, number, protowire.BytesType), value)
}

// A call of the sidecar's own API, its messages written by hand: the store is field 1 of both requests.
func ask(p *peer, method, store string, rest []byte, options ...grpc.CallOption) ([]byte, error) {
	ctx, cancel := p.context(time.Minute, "x-own-bin", string(every()))
	defer cancel()
	request := append(field(nil, 1, []byte(store)), rest...)
	var answer []byte
	err := p.Invoke(ctx, service+method, &request, &answer, options...)
	return answer, err
}

func save(p *peer, value []byte, options ...grpc.CallOption) error {
	item := field(field(nil, 1, []byte("go")), 2, value)
	_, err := ask(p, "SaveState", "mem", field(nil, 2, item), options...)
	return err
}

func get(p *peer, store string, options ...grpc.CallOption) ([]byte, error) {
	answer, err := ask(p, "GetState", store, field(nil, 2, []byte("go")), options...)
	if err != nil || len(answer) == 0 {
		return nil, err
	}
	number, _, length := protowire.ConsumeTag(answer)
	if number != 1 {
		return nil, nil
	}
	value, _ := protowire.ConsumeBytes(answer[length:])
	return value, nil
}

func testState(p *peer) {
	gzip := grpc.UseCompressor("gzip")
	for _, value := range [][]byte{{}, every(), bytes.Repeat([]byte("v"), 5<<20)} {
		need(save(p, value) == nil && bytes.Equal(must(get(p, "mem")), value), "a value of %d bytes", len(value))
		need(save(p, value, gzip) == nil && bytes.Equal(must(get(p, "mem", gzip)), value), "the same compressed")
	}
	need(save(p, bytes.Repeat([]byte("z"), 500_000)) == nil, "a value is saved")
	var group sync.WaitGroup
	bad := make(chan error, 200)
	for range 200 {
		group.Go(func() {
			if value, err := get(p, "mem"); err != nil || len(value) != 500_000 {
				bad <- err
			}
		})
	}
	group.Wait()
	need(len(bad) == 0, "%d of 200 calls failed", len(bad))
}

func testRefusals(p *peer) {
	_, err := get(p, "ghost")
	told := status.Convert(err)
	need(told.Code() == codes.InvalidArgument && told.Message() == "state store ghost is not found", "%v", err)
	need(len(told.Details()) > 0, "there are details")
	info, _ := told.Details()[0].(*errdetails.ErrorInfo)
	need(info.GetReason() == "DAPR_STATE_NOT_FOUND" && info.GetDomain() == "dapr.io", "%v", told.Details())
	err = save(p, bytes.Repeat([]byte("v"), 17<<20))
	need(status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max"), "%v", err)
}

// Check answers once, Watch at once and until the client leaves.
func testHealth(target string) {
	c := must(grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials())))
	client := grpc_health_v1.NewHealthClient(c)
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background()), time.Minute)
	answer := must(client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}))
	need(answer.Status == grpc_health_v1.HealthCheckResponse_SERVING, "%v", answer)
	watch := must(client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{}))
	need(must(watch.Recv()).Status == grpc_health_v1.HealthCheckResponse_SERVING, "Watch says so too")
	cancel()
	_, err := watch.Recv()
	need(status.Code(err) == codes.Canceled, "%v", err)
}

func dapr(target string) {
	p := dial(target, "-")
	testState(p)
	testRefusals(p)
	testHealth(target)
}
