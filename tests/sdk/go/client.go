// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

type peer struct {
	*grpc.ClientConn
	app string
}

func dial(target, app string, more ...grpc.CallOption) *peer {
	options := append(more, grpc.ForceCodecV2(raw{}), grpc.MaxCallRecvMsgSize(limit), grpc.MaxCallSendMsgSize(limit))
	credentials := grpc.WithTransportCredentials(insecure.NewCredentials())
	return &peer{must(grpc.NewClient(target, credentials, grpc.WithDefaultCallOptions(options...))), app}
}

// The context of a call: its target, its deadline, metadata.
func (p *peer) context(within time.Duration, pairs ...string) (context.Context, context.CancelFunc) {
	if p.app != "-" {
		pairs = append(pairs, "dapr-app-id", p.app)
	}
	return context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), pairs...), within)
}

func (p *peer) invoke(method string, request []byte, options ...grpc.CallOption) ([]byte, error) {
	return p.invokeWith(method, request, nil, options...)
}

func (p *peer) invokeWith(method string, request []byte, pairs []string, options ...grpc.CallOption) ([]byte, error) {
	ctx, cancel := p.context(time.Minute, pairs...)
	defer cancel()
	var answer []byte
	err := p.Invoke(ctx, "/interop.Peer/"+method, &request, &answer, options...)
	return answer, err
}

func (p *peer) open(ctx context.Context, method string) grpc.ClientStream {
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	return must(p.NewStream(ctx, both, "/interop.Peer/"+method))
}

func every() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

func testUnary(p *peer) {
	for _, message := range [][]byte{{}, []byte("a"), bytes.Repeat(every(), 400), bytes.Repeat([]byte("z"), large)} {
		need(bytes.Equal(must(p.invoke("Echo", message)), message), "an echo of %d bytes", len(message))
	}
}

func testCompression(p *peer) {
	message := bytes.Repeat([]byte("c"), 300_000)
	got := must(p.invoke("Echo", message, grpc.UseCompressor("gzip")))
	need(bytes.Equal(got, message), "a compressed echo")
}

func testMetadata(p *peer) {
	var first, last metadata.MD
	pairs := []string{"x-echo", "one", "x-echo", "two", "x-echo-bin", string(every())}
	must(p.invokeWith("Echo", nil, pairs, grpc.Header(&first), grpc.Trailer(&last)))
	// Node joins the values of one name.
	for _, got := range [][]string{first["x-echo"], last["x-last"]} {
		joined := slices.Equal(got, []string{"one, two"}) || slices.Equal(got, []string{"one,two"})
		need(joined || slices.Equal(got, []string{"one", "two"}), "metadata %q", got)
	}
	need(slices.Equal(first["x-echo-bin"], []string{string(every())}), "metadata %q", first["x-echo-bin"])
	need(slices.Equal(last["x-last-bin"], []string{string(every())}), "metadata %q", last["x-last-bin"])
}

func testErrors(p *peer) {
	detail := must(anypb.New(&errdetails.ErrorInfo{Reason: "GONE", Domain: "interop"}))
	wanted := &spb.Status{Code: int32(codes.DataLoss), Message: words, Details: []*anypb.Any{detail}}
	_, err := p.invokeWith("Echo", must(proto.Marshal(wanted)), []string{"x-fail", "yes"})
	need(proto.Equal(status.Convert(err).Proto(), wanted), "%v", err)
	_, err = p.invoke("Nothing", nil)
	need(status.Code(err) == codes.Unimplemented, "%v", err)
}

func received(stream grpc.ClientStream) [][]byte {
	var got [][]byte
	for {
		var message []byte
		err := stream.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return got
		}
		need(err == nil, "%v", err)
		got = append(got, message)
	}
}

func testStreams(p *peer) {
	for _, c := range []struct{ number, size int }{{10000, 100}, {16, 1_000_000}, {0, 0}} {
		ctx, cancel := p.context(time.Minute)
		stream := p.open(ctx, "Count")
		request := fmt.Appendf(nil, "%d %d", c.number, c.size)
		need(stream.SendMsg(&request) == nil && stream.CloseSend() == nil, "the request is sent")
		got := received(stream)
		need(len(got) == c.number, "%d messages", len(got))
		for i, message := range got {
			need(bytes.Equal(message, bytes.Repeat([]byte{byte(i)}, c.size)), "message %d", i)
		}
		cancel()

		ctx, cancel = p.context(time.Minute)
		stream = p.open(ctx, "Sum")
		message := bytes.Repeat([]byte("x"), c.size)
		for range c.number {
			need(stream.SendMsg(&message) == nil, "a message is sent")
		}
		need(stream.CloseSend() == nil, "the end is sent")
		got = received(stream)
		need(string(got[0]) == fmt.Sprintf("%d %d", c.number, c.number*c.size), "%q", got)
		cancel()
	}
}

func testChat(p *peer) {
	ctx, cancel := p.context(time.Minute)
	defer cancel()
	stream := p.open(ctx, "Chat")
	for i := range 3000 { // each is measured by a ping, from both sides
		said := bytes.Repeat([]byte(strconv.Itoa(i)), 1+i%200)
		need(stream.SendMsg(&said) == nil, "message %d is sent", i)
		var heard []byte
		need(stream.RecvMsg(&heard) == nil && bytes.Equal(heard, said), "message %d comes back", i)
	}
	need(stream.CloseSend() == nil && len(received(stream)) == 0, "the end")
}

func (p *peer) hung() int {
	return must(strconv.Atoi(string(must(p.invoke("Hung", nil)))))
}

func (p *peer) untilHung(number int) {
	end := time.Now().Add(30 * time.Second)
	for p.hung() < number {
		need(time.Now().Before(end), "the application does not know that its caller left")
		time.Sleep(10 * time.Millisecond)
	}
}

func testLeaving(p *peer) {
	before := p.hung()
	ctx, cancel := p.context(time.Minute)
	stream := p.open(ctx, "Hang")
	var empty []byte
	need(stream.SendMsg(&empty) == nil && stream.CloseSend() == nil, "the request is sent")
	first := must(stream.Header())
	need(slices.Equal(first["x-here"], []string{"yes"}), "metadata %v", first)
	cancel()
	err := stream.RecvMsg(&empty)
	need(status.Code(err) == codes.Canceled, "%v", err)
	p.untilHung(before + 1)
	reached := late(p, 300*time.Millisecond) || late(p, 3*time.Second) || late(p, 30*time.Second)
	need(reached, "no call reached the application")
	p.untilHung(before + 2)
}

// Whether the call reached the application before its deadline, on a machine that may be slow.
func late(p *peer, within time.Duration) bool {
	ctx, cancel := p.context(within)
	defer cancel()
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := p.NewStream(ctx, both, "/interop.Peer/Hang")
	if err == nil {
		var empty []byte
		_, _ = stream.SendMsg(&empty), stream.CloseSend() // what is wrong with them is told by what follows
		err = stream.RecvMsg(&empty)
	}
	need(status.Code(err) == codes.DeadlineExceeded, "%v", err)
	if stream == nil {
		return false
	}
	first, _ := stream.Header()
	return len(first["x-here"]) > 0
}

func testMany(p *peer) {
	var group sync.WaitGroup
	bad := make(chan string, 200)
	for i := range 200 {
		group.Go(func() {
			said := strconv.Itoa(i)
			if got, err := p.invoke("Echo", []byte(said)); err != nil || string(got) != said {
				bad <- fmt.Sprint(said, got, err)
			}
		})
	}
	group.Wait()
	need(len(bad) == 0, "%d of 200 calls failed", len(bad))
}

func call(target, app string) {
	p := dial(target, app)
	for _, part := range []struct {
		name string
		test func(*peer)
	}{
		{"unary", testUnary}, {"compression", testCompression}, {"metadata", testMetadata}, {"errors", testErrors},
		{"streams", testStreams}, {"chat", testChat}, {"leaving", testLeaving}, {"many", testMany},
	} {
		part.test(p)
		fmt.Println("ok", part.name)
	}
}
