// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sort"
	"strings"
	"sync/atomic"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

var hung atomic.Int64

func echo(request []byte, stream grpc.ServerStream) ([]byte, error) {
	came, _ := metadata.FromIncomingContext(stream.Context())
	first, last := metadata.MD{}, metadata.MD{}
	for from, to := range map[string]string{"x-echo": "x-last", "x-echo-bin": "x-last-bin"} {
		first.Append(from, came[from]...)
		last.Append(to, came[from]...)
	}
	if err := stream.SendHeader(first); err != nil {
		return nil, err
	}
	stream.SetTrailer(last)
	if len(came["x-fail"]) > 0 {
		var s spb.Status
		if err := proto.Unmarshal(request, &s); err != nil {
			return nil, err
		}
		return nil, status.FromProto(&s).Err()
	}
	if len(came["x-who"]) > 0 {
		var lines []string
		for name, values := range came {
			for _, value := range values {
				lines = append(lines, fmt.Sprintf("%s: %s\n", name, value))
			}
		}
		sort.Strings(lines)
		return []byte(strings.Join(lines, "")), nil
	}
	return request, nil
}

// A method with one request and one answer.
func unary(handle func([]byte, grpc.ServerStream) ([]byte, error)) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		var request []byte
		if err := stream.RecvMsg(&request); err != nil {
			return err
		}
		answer, err := handle(request, stream)
		if err != nil {
			return err
		}
		return stream.SendMsg(&answer)
	}
}

func count(_ any, stream grpc.ServerStream) error {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	var number, size int
	if _, err := fmt.Sscan(string(request), &number, &size); err != nil {
		return err
	}
	for i := range number {
		message := bytes.Repeat([]byte{byte(i)}, size)
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
	return nil
}

func sum(_ any, stream grpc.ServerStream) error {
	number, size := 0, 0
	for {
		var message []byte
		err := stream.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			answer := fmt.Appendf(nil, "%d %d", number, size)
			return stream.SendMsg(&answer)
		}
		if err != nil {
			return err
		}
		number++
		size += len(message)
	}
}

func chat(_ any, stream grpc.ServerStream) error {
	for {
		var message []byte
		err := stream.RecvMsg(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

func hang(_ any, stream grpc.ServerStream) error {
	if err := stream.SendHeader(metadata.Pairs("x-here", "yes")); err != nil {
		return err
	}
	<-stream.Context().Done()
	hung.Add(1)
	return context.Cause(stream.Context())
}

func serve(port string) {
	server := grpc.NewServer(grpc.ForceServerCodecV2(raw{}), grpc.MaxRecvMsgSize(limit), grpc.MaxSendMsgSize(limit))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "interop.Peer",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{
			{StreamName: "Echo", Handler: unary(echo)},
			{StreamName: "Count", Handler: count, ServerStreams: true},
			{StreamName: "Sum", Handler: sum, ClientStreams: true},
			{StreamName: "Chat", Handler: chat, ServerStreams: true, ClientStreams: true},
			{StreamName: "Hang", Handler: hang, ServerStreams: true},
			{StreamName: "Hung", Handler: unary(func([]byte, grpc.ServerStream) ([]byte, error) {
				return fmt.Appendf(nil, "%d", hung.Load()), nil
			})},
		},
	}, struct{}{})
	listener := must(net.Listen("tcp", "127.0.0.1:"+port))
	fmt.Println("serving")
	need(server.Serve(listener) == nil, "the server ended")
}
