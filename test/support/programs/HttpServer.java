// An HTTP server that counts its requests: java HttpServer PORT. A map is filled and checked, a timer ticks, a thread waits on a monitor, and
// every request makes garbage, so that collections happen before and after a restore.

import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

public class HttpServer {
  private static final Map<Integer, String> table = new HashMap<>();
  private static final AtomicLong ticks = new AtomicLong();

  private static long check() {
    long sum = 0;
    for (Map.Entry<Integer, String> entry : table.entrySet()) {
      sum += entry.getKey() * 31L + entry.getValue().hashCode();
    }
    return sum;
  }

  public static void main(String[] arguments) throws Exception {
    long started = System.nanoTime();
    for (int i = 0; i < 100_000; i++) {
      table.put(i, "value " + i);
    }
    var timer = Executors.newScheduledThreadPool(1);
    timer.scheduleAtFixedRate(ticks::incrementAndGet, 20, 20, TimeUnit.MILLISECONDS);
    long count = 0;
    try (var server = new ServerSocket(Integer.parseInt(arguments[0]), 16, InetAddress.getByName("127.0.0.1"))) {
      System.out.println("listening");
      while (true) {
        try (Socket socket = server.accept()) {
          readRequest(socket.getInputStream());
          count++;
          var garbage = new StringBuilder();
          for (int i = 0; i < 200_000; i++) {
            garbage.append((char) ('a' + i % 26));
          }
          double uptime = (System.nanoTime() - started) / 1e9;
          String body = String.format("{\"count\":%d,\"check\":%d,\"ticks\":%d,\"uptime\":%.3f,\"garbage\":%d}", count, check(),
              ticks.get(), uptime, garbage.toString().hashCode());
          String head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: " + body.length() + "\r\n\r\n";
          socket.getOutputStream().write((head + body).getBytes(StandardCharsets.US_ASCII));
        }
      }
    }
  }

  private static void readRequest(InputStream in) throws Exception {
    int newlines = 0;
    for (int c; newlines < 2 && (c = in.read()) != -1;) {
      if (c == '\n') {
        newlines++;
      } else if (c != '\r') {
        newlines = 0;
      }
    }
  }
}
