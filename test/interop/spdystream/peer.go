// A peer made of Go's spdystream, for the interoperability tests: `peer server` listens on a free port of loopback, prints it
// and echoes every stream; `peer client ADDRESS` talks to a server that echoes, and prints what it saw as JSON.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/docker/spdystream"
)

func main() {
	if os.Args[1] == "server" {
		serve()
	} else {
		call(os.Args[2])
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		socket, err := listener.Accept()
		fail(err)
		connection, err := spdystream.NewConnection(socket, true)
		fail(err)
		go connection.Serve(func(stream *spdystream.Stream) { go answer(connection, stream) })
	}
}

func answer(connection *spdystream.Connection, stream *spdystream.Stream) {
	switch stream.Headers().Get("x-do") {
	case "refuse":
		stream.Refuse()
		return
	case "leave":
		stream.SendReply(http.Header{":status": {"200"}}, false)
		stream.Close()
		connection.Close()
		return
	case "ping":
		took, err := connection.Ping()
		stream.SendReply(http.Header{"x-ping": {fmt.Sprint(err == nil && took > 0)}}, true)
		return
	}
	stream.SendReply(http.Header{":status": {"200"}, "x-said": stream.Headers()["X-Word"]}, false)
	stream.SendHeader(http.Header{"x-more": {"later"}}, false)
	io.Copy(stream, stream)
	stream.Close()
}

func call(address string) {
	socket, err := net.Dial("tcp", address)
	fail(err)
	connection, err := spdystream.NewConnection(socket, false)
	fail(err)
	go connection.Serve(spdystream.NoOpStreamHandler)
	seen := map[string]interface{}{}

	took, err := connection.Ping()
	fail(err)
	seen["ping"] = took > 0

	refused, err := connection.CreateStream(http.Header{"X-Do": {"refuse"}}, nil, false)
	fail(err)
	seen["refused"] = fmt.Sprint(refused.WaitTimeout(10 * time.Second))

	cancelled, err := connection.CreateStream(http.Header{}, nil, false)
	fail(err)
	fail(cancelled.WaitTimeout(10 * time.Second))
	fail(cancelled.Reset())

	bytes, err := strconv.Atoi(os.Args[3])
	fail(err)
	sent, got := echo(connection, bytes)
	seen["sent"], seen["got"] = sent, got

	var all sync.WaitGroup
	var lock sync.Mutex
	same := 0
	for i := 0; i < 100; i++ {
		all.Add(1)
		go func(bytes int) {
			defer all.Done()
			sent, got := echo(connection, bytes)
			lock.Lock()
			defer lock.Unlock()
			if sent == got {
				same++
			}
		}(10000 + 100*i)
	}
	all.Wait()
	seen["same"] = same
	fail(connection.Close())
	fail(json.NewEncoder(os.Stdout).Encode(seen))
}

// Sends bytes on a stream of their own; returns the hashes of what went and what came.
func echo(connection *spdystream.Connection, bytes int) (string, string) {
	stream, err := connection.CreateStream(http.Header{":method": {"POST"}, "X-Word": {"word"}}, nil, false)
	fail(err)
	fail(stream.WaitTimeout(10 * time.Second))
	body := make([]byte, bytes)
	for i := range body {
		body[i] = byte(i * 31 >> 3)
	}
	done := make(chan string)
	go func() {
		hash := sha256.New()
		_, err := io.CopyN(hash, stream, int64(bytes))
		fail(err)
		done <- hex.EncodeToString(hash.Sum(nil))
	}()
	for at := 0; at < bytes; at += 32768 {
		end := at + 32768
		if end > bytes {
			end = bytes
		}
		_, err := stream.Write(body[at:end])
		fail(err)
	}
	got := <-done
	fail(stream.Close())
	hash := sha256.Sum256(body)
	return hex.EncodeToString(hash[:]), got
}
