// Processes of Java: ProcessHandle, ProcessBuilder, threads. Prints "id N" for each id it sees. With ROUNDS, a directory, it does all this again
// for each file that appears there: 1, 2 and so on, until one says "last".
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

  // What the round's file says.
  static String await(int round) throws Exception {
    String directory = System.getenv("ROUNDS");
    if (directory == null) return "last";
    System.out.println("ready " + round);
    Path file = Path.of(directory, String.valueOf(round));
    while (!Files.exists(file) || Files.size(file) == 0) Thread.sleep(10);
    return Files.readString(file);
  }

  public static void main(String[] arguments) throws Exception {
    long pid = ProcessHandle.current().pid();
    long parent = ProcessHandle.current().parent().orElseThrow().pid();
    String word = "";
    for (int round = 1; !word.equals("last"); round++) {
      word = await(round);
      check(Files.readSymbolicLink(Path.of("/proc/self")).toString().equals(String.valueOf(pid)), "the own pid");
      check(ProcessHandle.of(pid).orElseThrow().parent().orElseThrow().pid() == parent, "the parent");
      work();
    }
    System.out.println("PASS");
  }

  static void work() throws Exception {
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
  }
}
