// An HTTP server that counts its requests: http-go PORT. Goroutines tick, compute and pass numbers around a ring; every request makes garbage
// and forces a collection. GET / answers {count, uptime, ticks, rounds, check}.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

var ticks, rounds, count int64

func ring(size int) {
	first := make(chan int64)
	in := first
	for i := 0; i < size; i++ {
		out := make(chan int64)
		go func(in, out chan int64) {
			for value := range in {
				out <- value + 1
			}
		}(in, out)
		in = out
	}
	for {
		first <- 0
		if got := <-in; got != int64(size) {
			fmt.Fprintln(os.Stderr, "the ring gave", got)
			os.Exit(1)
		}
		atomic.AddInt64(&rounds, 1)
		time.Sleep(5 * time.Millisecond)
	}
}

func main() {
	started := time.Now()
	table := map[int]string{}
	for i := 0; i < 50000; i++ {
		table[i] = fmt.Sprint("value ", i)
	}
	go ring(100)
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			atomic.AddInt64(&ticks, 1)
		}
	}()
	http.HandleFunc("/", func(writer http.ResponseWriter, request *http.Request) {
		var garbage [][]byte
		for i := 0; i < 200; i++ {
			garbage = append(garbage, make([]byte, 10000))
		}
		runtime.GC()
		check := len(garbage)
		for key, value := range table {
			check += key + len(value)
		}
		json.NewEncoder(writer).Encode(map[string]interface{}{
			"count": atomic.AddInt64(&count, 1), "uptime": time.Since(started).Seconds(),
			"ticks": atomic.LoadInt64(&ticks), "rounds": atomic.LoadInt64(&rounds), "check": check,
		})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening")
	http.Serve(listener, nil)
}
