// SPDX-License-Identifier: Apache-2.0

// The official grpc-go as a peer, for interop of every client with every server; what interop.Peer does is told in
// ../python/peer.py.
//
//	peer serve PORT
//	peer call TARGET APP
//	peer dapr TARGET
package main

import (
	"fmt"
	"os"

	"google.golang.org/grpc/mem"
)

const (
	words = "ünlucky: 100 % gone"
	large = 6 << 20
	limit = 64 << 20
)

// Plain bytes in place of messages, under the name of the codec that everybody has.
type raw struct{}

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func (raw) Name() string { return "proto" }

func need(condition bool, format string, words ...any) {
	if !condition {
		panic(fmt.Sprintf(format, words...))
	}
}

func must[T any](value T, err error) T {
	need(err == nil, "%v", err)
	return value
}

func main() {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintln(os.Stderr, "failed:", r)
			os.Exit(1)
		}
	}()
	need(len(os.Args) > 2, "peer serve PORT | call TARGET APP | dapr TARGET")
	switch os.Args[1] {
	case "serve":
		serve(os.Args[2])
	case "call":
		call(os.Args[2], os.Args[3])
	case "dapr":
		dapr(os.Args[2])
	}
	fmt.Println("all is well")
}
