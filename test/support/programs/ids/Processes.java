// Processes of Java: ProcessHandle, ProcessBuilder, threads. Prints "id N" for each id it sees.
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

public class Processes {
  static void check(boolean ok, String what) {
    if (ok) return;
    System.out.println("FAIL " + what);
    System.exit(1);
  }

  public static void main(String[] arguments) throws Exception {
    ProcessHandle self = ProcessHandle.current();
    System.out.println("id " + self.pid());
    System.out.println("id " + self.parent().orElseThrow().pid());
    check(Files.readSymbolicLink(Path.of("/proc/self")).toString().equals(String.valueOf(self.pid())), "/proc/self");

    Process child = new ProcessBuilder("sh", "-c", "echo $$ $PPID; exit 5").start();
    String[] words = new String(child.getInputStream().readAllBytes()).trim().split(" ");
    check(Long.parseLong(words[0]) == child.pid(), "the child's pid");
    check(Long.parseLong(words[1]) == self.pid(), "the child's parent");
    check(child.waitFor() == 5, "the child's status");
    System.out.println("id " + child.pid());

    Process sleeper = new ProcessBuilder("sleep", "60").start();
    check(self.children().anyMatch(handle -> handle.pid() == sleeper.pid()), "the list of children");
    check(ProcessHandle.of(sleeper.pid()).orElseThrow().isAlive(), "a living child");
    sleeper.destroy();
    check(sleeper.waitFor(30, TimeUnit.SECONDS) && sleeper.exitValue() == 143, "a child that was ended");

    AtomicInteger count = new AtomicInteger();
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < 50; i++) {
      Thread thread = new Thread(count::incrementAndGet);
      threads.add(thread);
      thread.start();
    }
    for (Thread thread : threads) thread.join();
    check(count.get() == 50, "threads");
    System.out.println("PASS");
  }
}
