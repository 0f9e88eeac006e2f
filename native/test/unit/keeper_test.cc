// The keeper's parsing and its control socket, without processes.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "keeper/control.h"
#include "keeper/options.h"
#include "keeper/status.h"
#include "launch/control_client.h"
#include "test/check.h"

namespace stasis::keeper {
namespace {

const char* parse(std::vector<const char*> words, Options& options) {
  static std::vector<char*> arguments;
  arguments = {const_cast<char*>("stasis-keeper")};
  for (const char* word : words) arguments.push_back(const_cast<char*>(word));
  arguments.push_back(nullptr);
  return parse_options(static_cast<int>(arguments.size()) - 1, arguments.data(), options);
}

TEST(keeper_options_of_an_environment) {
  Options options;
  const std::vector<const char*> start = {"--directory", "/d", "--runtime", "/r"};
  auto with = [&](std::vector<const char*> more) {
    std::vector<const char*> words = start;
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), {"--", "/bin/true", "true"});
    options = Options();
    return parse(words, options);
  };
  CHECK(with({"--environment", "5:258", "--publish", "tcp,127.0.0.1,1,2", "--publish", "udp,::1,3,4"}) == nullptr);
  CHECK_EQUAL(options.network, 5);
  CHECK_EQUAL(options.host, 258);
  CHECK_EQUAL(options.publications, 2);
  CHECK_EQUAL(std::string(options.publish[1]), "udp,::1,3,4");
  CHECK(with({"--publish", "tcp,127.0.0.1,1,2"}) != nullptr);
  for (const char* wrong : {"", "5", "5:", ":1", "1:1", "255:1", "5:0", "5:8192", "5:1:1", "00000000005:1", "5 :1"})
    CHECK(with({"--environment", wrong}) != nullptr);
}

TEST(keeper_options_of_a_launch) {
  Options options;
  CHECK(parse({"--directory", "/d", "--runtime", "/r", "--mode", "foreground", "--", "/bin/sh", "sh", "--", "-c"},
              options) == nullptr);
  CHECK(options.mode == Mode::Foreground);
  CHECK(!options.is_restore());
  CHECK_EQUAL(std::string(options.program[0]), "/bin/sh");
  CHECK_EQUAL(std::string(options.program[2]), "--");
  CHECK(options.program[4] == nullptr);
}

TEST(keeper_options_of_a_restore) {
  Options options;
  CHECK(parse({"--directory", "/d", "--runtime", "/r", "--plan-fd", "4", "--ready-fd", "3", "--deadline-ms", "99"},
              options) == nullptr);
  CHECK(options.is_restore());
  CHECK_EQUAL(options.plan_fd, 4);
  CHECK_EQUAL(options.ready_fd, 3);
  CHECK_EQUAL(options.deadline_ms, 99);
}

TEST(keeper_options_of_a_child_that_is_there) {
  Options options;
  CHECK(parse({"--directory", "/d", "--runtime", "/r", "--pid", "7", "--report-fd", "4", "--done-fd", "5"}, options) ==
        nullptr);
  CHECK(options.is_restore());
  CHECK(options.adopts());
  CHECK_EQUAL(options.pid, 7);
  CHECK_EQUAL(options.report_fd, 4);
  CHECK_EQUAL(options.done_fd, 5);
}

TEST(keeper_options_that_are_wrong) {
  const std::vector<std::vector<const char*>> wrong = {
      {},
      {"--directory", "/d", "--runtime", "/r"},
      {"--directory", "/d", "--runtime", "/r", "--", "/bin/sh"},
      {"--directory", "d", "--runtime", "/r", "--", "/bin/sh", "sh"},
      {"--directory", "/d", "--runtime", "/r", "--plan-fd", "4", "--", "/bin/sh", "sh"},
      {"--directory", "/d", "--runtime", "/r", "--ready-fd", "2", "--", "/bin/sh", "sh"},
      {"--directory", "/d", "--runtime", "/r", "--ready-fd", "3x", "--", "/bin/sh", "sh"},
      {"--directory", "/d", "--runtime", "/r", "--mode", "other", "--", "/bin/sh", "sh"},
      {"--directory", "/d", "--runtime", "/r", "--what", "1", "--", "/bin/sh", "sh"},
      {"--directory", "/d", "--runtime"},
      {"--directory", "/d", "--runtime", "/r", "--pid", "7", "--report-fd", "4"},
      {"--directory", "/d", "--runtime", "/r", "--report-fd", "4", "--done-fd", "5", "--plan-fd", "6"},
      {"--directory", "/d", "--runtime", "/r", "--pid", "7", "--report-fd", "4", "--done-fd", "5", "--plan-fd", "6"},
  };
  for (const auto& words : wrong) {
    Options options;
    CHECK(parse(words, options) != nullptr);
  }
}

TEST(keeper_requests) {
  CHECK(parse_request("status").verb == Verb::Status);
  CHECK(parse_request("wait").verb == Verb::Wait);
  CHECK(parse_request("signal 15").verb == Verb::Signal);
  CHECK_EQUAL(parse_request("signal 15").number, 15);
  CHECK_EQUAL(std::string(parse_request("checkpointed /a b@1").path), "/a b@1");
  const std::string too_long = "checkpointed /" + std::string(PATH_MAX, 'x');
  for (const std::string& line :
       {std::string(), std::string("signal"), std::string("signal "), std::string("signal -1"),
        std::string("signal 65"), std::string("signal 99999999999999999999"), std::string("checkpointed"),
        std::string("checkpointed relative"), std::string("status "), std::string("Status"), too_long}) {
    CHECK(parse_request(line.c_str()).verb == Verb::Unknown);
  }
}

TEST(keeper_status_lines) {
  ApplicationStatus status;
  status.keeper = 7;
  status.keeper_start = 70;
  char text[PATH_MAX + 512];
  format_status(status, text, sizeof text);
  CHECK_EQUAL(std::string(text), "state=starting\nkeeper=7\nkeeper_start=70\n");
  status.pid = 8;
  status.start = 80;
  status.state = State::Checkpointed;
  status.ended_ms = 90;
  const std::string path = "/" + std::string(PATH_MAX - 2, 'p');
  status.snapshot = path.c_str();
  format_status(status, text, sizeof text);
  CHECK_EQUAL(std::string(text),
              "state=checkpointed\npid=8\nstart=80\nkeeper=7\nkeeper_start=70\nended=90\nsnapshot=" + path + "\n");
  CHECK(start_time_of(getpid()) > 0);
  CHECK_EQUAL(start_time_of(0), 0u);
}

// A socket in a directory whose path is longer than sun_path, served by hand.
class Server {
 public:
  Server() : control(new ControlSocket) {
    char name[] = "/tmp/stasis-control-XXXXXX";
    root = mkdtemp(name);
    directory_path = root + "/" + std::string(150, 'd');
    mkdir(directory_path.c_str(), 0700);
    directory = open(directory_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    opened = control->open(directory);
    status.state = State::Running;
    status.pid = 5;
    status.start = 6;
  }
  ~Server() {
    close(directory);
    unlink(path().c_str());
    rmdir(directory_path.c_str());
    rmdir(root.c_str());
  }
  std::string path() const { return directory_path + "/control.sock"; }
  int connect() const {
    auto client = launch::ControlClient::connect(path(), Deadline::in(std::chrono::seconds(5)));
    return client.ok() ? client.value().release() : -1;
  }
  // As often as something is to be done.
  void serve() {
    for (int turn = 0; turn < 200; ++turn) {
      pollfd entries[kMaxClients + 1];
      int count = control->fill(entries);
      if (poll(entries, static_cast<nfds_t>(count), 10) <= 0) return;
      control->handle(entries, count, status, [](int number) { return number == 9 ? 0 : ESRCH; });
    }
  }
  static std::string answer(int fd) {
    char text[256];
    ssize_t got = read(fd, text, sizeof text);
    if (got > 0) return std::string(text, static_cast<std::size_t>(got));
    // What was closed with data unread gives ECONNRESET.
    return got == 0 || errno == ECONNRESET ? "closed" : "none";
  }
  static void say(int fd, const std::string& text) {
    CHECK(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }

  std::unique_ptr<ControlSocket> control;
  std::string root, directory_path;
  int directory = -1;
  bool opened = false;
  ApplicationStatus status;
};

TEST(keeper_control_answers) {
  Server server;
  if (!CHECK(server.opened)) return;
  int fd = server.connect();
  if (!CHECK(fd >= 0)) return;
  Server::say(fd, "sta");
  server.serve();
  Server::say(fd, "tus\nsignal 9\nsignal 1\nnonsense\n");
  server.serve();
  CHECK_EQUAL(Server::answer(fd), "running 5 6\nok\nerror 3\nerror 22\n");
  close(fd);
}

TEST(keeper_control_waits_and_checkpoints) {
  Server server;
  int waiter = server.connect(), announcer = server.connect();
  Server::say(waiter, "wait\n");
  Server::say(announcer, "checkpointed /snap\n");
  server.serve();
  CHECK_EQUAL(Server::answer(waiter), "none");
  CHECK_EQUAL(Server::answer(announcer), "ok\n");
  CHECK(server.control->announced_checkpoint() != nullptr);
  close(announcer);
  server.serve();
  CHECK(server.control->announced_checkpoint() == nullptr);
  server.status.state = State::Exited;
  server.status.code = 4;
  server.control->withdraw();
  CHECK(access(server.path().c_str(), F_OK) != 0);
  server.control->finish(server.status);
  CHECK_EQUAL(Server::answer(waiter), "exited 4\n");
  close(waiter);
}

TEST(keeper_control_survives_floods) {
  Server server;
  int flood = server.connect();
  Server::say(flood, std::string(2 * kMaxLineBytes, 'x'));
  server.serve();
  CHECK_EQUAL(Server::answer(flood), "closed");
  close(flood);

  int chatter = server.connect();
  std::string many;
  for (int at = 0; at < 100; ++at) many += "status\n";
  Server::say(chatter, many);
  server.serve();
  close(chatter);

  int waiter = server.connect();
  Server::say(waiter, "wait\n");
  server.serve();
  std::vector<int> crowd;
  for (int at = 0; at < 3 * kMaxClients; ++at) {
    crowd.push_back(server.connect());
    server.serve();
  }
  Server::say(crowd.back(), "status\n");
  server.serve();
  CHECK_EQUAL(Server::answer(crowd.back()), "running 5 6\n");
  CHECK_EQUAL(Server::answer(crowd.front()), "closed");
  CHECK_EQUAL(Server::answer(waiter), "none");
  for (int fd : crowd) close(fd);
  close(waiter);
}

}  // namespace
}  // namespace stasis::keeper
