// Command probe is the program inside the images of the runtime's tests.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Println("no command")
		os.Exit(64)
	}
	commands := map[string]func([]string) error{
		"echo": echo, "exit": exit, "sleep": sleep, "term": term, "id": id, "write": write, "read": read,
		"list": list, "env": env, "serve": serve, "long": long, "tick": tick, "cat": cat, "status": status,
		"ps": ps, "orphan": orphan, "mknod": mknod, "tty": tty, "spin": spin, "stat": stat, "connect": connect,
		"mount": mount, "link": link, "partial": partial, "steal": steal,
		"grow": grow, "nest": nest, "map": mapFile,
	}
	command, ok := commands[os.Args[1]]
	if !ok {
		fmt.Println("unknown command", os.Args[1])
		os.Exit(64)
	}
	if err := command(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func echo(args []string) error {
	fmt.Println(strings.Join(args, " "))
	fmt.Fprintln(os.Stderr, "to stderr")
	return nil
}

func exit(args []string) error {
	code, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

func sleep([]string) error {
	time.Sleep(time.Hour)
	return nil
}

// term says so when it is asked to end, and does.
func term(args []string) error {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGUSR1)
	fmt.Println("ready")
	got := <-asked
	fmt.Println("got", got)
	if len(args) > 0 {
		return exit(args)
	}
	return nil
}

func id([]string) error {
	host, err := os.Hostname()
	dir, _ := os.Getwd()
	fmt.Printf("uid=%d gid=%d pid=%d host=%s home=%s cwd=%s\n", os.Getuid(), os.Getgid(), os.Getpid(), host, os.Getenv("HOME"), dir)
	return err
}

func write(args []string) error { return os.WriteFile(args[0], []byte(args[1]), 0o644) }

func read(args []string) error {
	raw, err := os.ReadFile(args[0])
	os.Stdout.Write(raw)
	return err
}

func list(args []string) error {
	entries, err := os.ReadDir(args[0])
	for _, entry := range entries {
		fmt.Println(entry.Name())
	}
	return err
}

func env([]string) error {
	pairs := os.Environ()
	sort.Strings(pairs)
	fmt.Println(strings.Join(pairs, "\n"))
	return nil
}

// serve answers every connection with its arguments.
func serve(args []string) error {
	listener, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			line, _ := bufio.NewReader(conn).ReadString('\n')
			fmt.Fprintf(conn, "hello %s", line)
		}()
	}
}

func connect(args []string) error {
	conn, err := net.DialTimeout("tcp", args[0], 2*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintln(conn, "neighbour")
	_, err = io.Copy(os.Stdout, conn)
	return err
}

func long(args []string) error {
	n, err := strconv.Atoi(args[0])
	fmt.Println(strings.Repeat("x", n))
	return err
}

func partial([]string) error {
	fmt.Print("no newline")
	return nil
}

func tick([]string) error {
	for n := 0; ; n++ {
		fmt.Println("tick", n)
		time.Sleep(20 * time.Millisecond)
	}
}

func cat([]string) error {
	_, err := io.Copy(os.Stdout, os.Stdin)
	return err
}

// status prints what the kernel thinks of this process.
func status([]string) error {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if strings.HasPrefix(line, "Cap") || strings.HasPrefix(line, "NoNewPrivs") || strings.HasPrefix(line, "Umask") {
			fmt.Println(line)
		}
	}
	return nil
}

func ps([]string) error {
	entries, err := os.ReadDir("/proc")
	for _, entry := range entries {
		if _, number := strconv.Atoi(entry.Name()); number == nil {
			line, _ := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
			fmt.Println(entry.Name(), strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return err
}

// orphan leaves a child behind that holds the output.
func orphan([]string) error {
	child := exec.Command("/proc/self/exe", "sleep")
	child.Stdout = os.Stdout
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return err
	}
	fmt.Println("child", child.Process.Pid)
	return nil
}

// grow takes so many MiB, eight at a time, and keeps them.
func grow(args []string) error {
	most, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var kept [][]byte
	for len(kept)*8 < most {
		piece := make([]byte, 8<<20)
		for i := 0; i < len(piece); i += os.Getpagesize() {
			piece[i] = 1
		}
		kept = append(kept, piece)
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("grown to", len(kept)*8)
	time.Sleep(time.Hour)
	return errors.New(string(kept[0][:1]))
}

// nest runs this program once more below itself.
func nest(args []string) error {
	child := exec.Command("/proc/self/exe", args...)
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	return child.Run()
}

// mapFile maps a file of so many MiB and reads all of it.
func mapFile(args []string) error {
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	file, err := os.Create(args[0])
	if err != nil {
		return err
	}
	if err := file.Truncate(int64(size) << 20); err != nil {
		return err
	}
	mapped, err := syscall.Mmap(int(file.Fd()), 0, size<<20, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	sum := 0
	for i := 0; i < len(mapped); i += os.Getpagesize() {
		sum += int(mapped[i])
	}
	fmt.Println("mapped", sum)
	return sleep(nil)
}

// steal watches for processes that run another program than this one.
func steal([]string) error {
	own, err := os.Stat("/proc/self/exe")
	if err != nil {
		return err
	}
	fmt.Println("watching")
	for seen := map[string]bool{}; ; {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if _, err := strconv.Atoi(entry.Name()); err != nil || entry.Name() == "1" {
				continue
			}
			if !seen[entry.Name()] && len(seen) < 50 {
				seen[entry.Name()] = true
				fmt.Println("saw", entry.Name())
			}
			file, err := os.Open("/proc/" + entry.Name() + "/exe")
			if err != nil {
				continue
			}
			if info, err := file.Stat(); err == nil && !os.SameFile(own, info) {
				fmt.Println("stole", info.Size())
			}
			file.Close()
		}
	}
}

func mknod([]string) error { return syscall.Mknod("/device", syscall.S_IFCHR|0o666, 1<<8|3) }

func mount([]string) error { return syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, "") }

func link(args []string) error {
	target, err := os.Readlink(args[0])
	fmt.Println(target)
	return err
}

// tty tells about its terminal once that has a size, or after a while.
func tty([]string) error {
	var size [4]uint16
	for range 100 {
		syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
		if size[0] != 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	info, err := os.Stdin.Stat()
	if err != nil {
		return err
	}
	own, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	own.Close()
	fmt.Printf("terminal: %v %dx%d controlling: %v\n", info.Mode()&os.ModeCharDevice != 0, size[0], size[1], err == nil)
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Printf("you said %s", line)
	return nil
}

func spin([]string) error {
	for end := time.Now().Add(time.Hour); time.Now().Before(end); {
	}
	return nil
}

func stat(args []string) error {
	info, err := os.Lstat(args[0])
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	fmt.Println(info.Mode(), "uid", st.Uid, "gid", st.Gid)
	return nil
}
