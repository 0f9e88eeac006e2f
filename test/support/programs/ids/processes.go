// Processes of Go: os/exec, signals, groups, many threads. Prints "id N" for each id it sees. With ROUNDS, a directory, it does
// all this again for each file that appears there: 1, 2 and so on, until one says "last".
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

func check(ok bool, what ...any) {
	if !ok {
		fmt.Println(append([]any{"FAIL"}, what...)...)
		os.Exit(1)
	}
}

func children() {
	output, err := exec.Command("sh", "-c", "echo $$ $PPID").Output()
	check(err == nil, err)
	var pid, parent int
	fmt.Sscan(string(output), &pid, &parent)
	check(parent == os.Getpid(), "parent", parent)
	fmt.Println("id", pid)

	sleeper := exec.Command("sleep", "60")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	check(sleeper.Start() == nil, "start")
	group, err := syscall.Getpgid(sleeper.Process.Pid)
	check(err == nil && group == sleeper.Process.Pid, "group", group, err)
	check(syscall.Kill(-group, syscall.SIGTERM) == nil, "kill of a group")
	err = sleeper.Wait()
	check(err != nil && strings.Contains(err.Error(), "terminated"), err)
	check(syscall.Kill(sleeper.Process.Pid, 0) == syscall.ESRCH, "an ended process")
}

func signals() {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived, syscall.SIGUSR1)
	check(exec.Command("sh", "-c", fmt.Sprintf("kill -USR1 %d", os.Getpid())).Run() == nil, "kill by a child")
	select {
	case <-arrived:
	case <-time.After(30 * time.Second):
		check(false, "no signal")
	}
}

func threads() {
	var group sync.WaitGroup
	ids := make(chan int, 20)
	for i := 0; i < 20; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			runtime.LockOSThread()
			ids <- syscall.Gettid()
			time.Sleep(20 * time.Millisecond)
		}()
	}
	group.Wait()
	close(ids)
	seen := map[int]bool{}
	for id := range ids {
		seen[id] = true
	}
	check(len(seen) == 20, "threads", len(seen))
	for id := range seen {
		fmt.Println("id", id)
	}
}

// A goroutine that keeps its thread, and tells its id when asked.
func lasting() (ask func() int) {
	questions, answers := make(chan bool), make(chan int)
	go func() {
		runtime.LockOSThread()
		for range questions {
			answers <- syscall.Gettid()
		}
	}()
	return func() int {
		questions <- true
		return <-answers
	}
}

// What the round's file says.
func await(round int) string {
	directory := os.Getenv("ROUNDS")
	if directory == "" {
		return "last"
	}
	fmt.Println("ready", round)
	for {
		word, _ := os.ReadFile(fmt.Sprintf("%s/%d", directory, round))
		if len(word) > 0 {
			return string(word)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func main() {
	ask := lasting()
	pid, ppid, tid := os.Getpid(), os.Getppid(), ask()
	for round, word := 1, ""; word != "last"; round++ {
		word = await(round)
		check(pid == os.Getpid() && ppid == os.Getppid() && tid == ask(), "own ids")
		check(syscall.Kill(tid, 0) == nil, "a thread of long ago")
		fmt.Println("id", pid)
		fmt.Println("id", ppid)
		fmt.Println("id", tid)
		link, _ := os.Readlink("/proc/self")
		check(link == fmt.Sprint(pid), "/proc/self", link)
		children()
		signals()
		threads()
	}
	fmt.Println("PASS")
}
