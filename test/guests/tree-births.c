// Some hundred children a second, with children of their own: each is waited for and none is lost, wherever a checkpoint
// finds it: not yet begun, at work, ended.
// mode: checkpoint
#include <sys/mman.h>
#include <sys/wait.h>

#include "guest.h"

enum { kWorkers = 3, kAlive = 3, kPerTurn = 2 };

struct Board {
  volatile uint64_t born[kWorkers], done[kWorkers];
};

static int run(volatile uint64_t* done, uint64_t number) {
  pid_t child = number % 4 == 0 ? fork() : 0;
  CHECK(child >= 0);
  if (child == 0) {
    __atomic_add_fetch(done, 1, __ATOMIC_SEQ_CST);
    return (int)(number % 100);
  }
  int status = -1;
  pid_t waited;
  while ((waited = waitpid(child, &status, 0)) < 0 && errno == EINTR) {
  }
  CHECK(waited == child && WIFEXITED(status) && WEXITSTATUS(status) == (int)(number % 100));
  return WEXITSTATUS(status);
}

static int worker(struct Board* board, int index) {
  pid_t children[kAlive] = {0};
  uint64_t numbers[kAlive];
  for (uint64_t number = 0; !guest_may_go() || number < 100; number++) {
    int place = (int)(number % kAlive);
    if (children[place] != 0) {
      int status = -1;
      CHECK(waitpid(children[place], &status, 0) == children[place]);
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == (int)(numbers[place] % 100));
    }
    numbers[place] = number;
    board->born[index]++;
    children[place] = fork();
    CHECK(children[place] >= 0);
    if (children[place] == 0) _exit(run(&board->done[index], number));
    if (number % kPerTurn == 0) guest_sleep_ms(4);
  }
  int status = -1;
  while (wait(&status) > 0) CHECK(WIFEXITED(status));
  CHECK(errno == ECHILD && board->done[index] == board->born[index]);
  return 0;
}

int main(void) {
  struct Board* board =
      (struct Board*)mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(board != MAP_FAILED);
  guest_may_go();
  pid_t workers[kWorkers];
  for (int i = 0; i < kWorkers; i++) {
    workers[i] = fork();
    CHECK(workers[i] >= 0);
    if (workers[i] == 0) _exit(worker(board, i));
  }
  for (int i = 0; i < kWorkers; i++)
    while (board->born[i] < 10) guest_sleep_ms(1);

  guest_checkpoint_here();

  for (int i = 0; i < kWorkers; i++) {
    int status = -1;
    CHECK(waitpid(workers[i], &status, 0) == workers[i] && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(board->done[i] == board->born[i] && board->born[i] >= 100);
  }
  return guest_pass();
}
