// Processes of C: fork, posix_spawn, popen, signals, threads; linked with musl and static. Prints "id N" for each id it sees. With ROUNDS, a
// directory, it does all this again for each file that appears there: 1, 2 and so on, until one says "last".
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int condition, const char* what) {
  if (condition) return;
  printf("FAIL %s\n", what);
  exit(1);
}

static void show(long id) { printf("id %ld\n", id); }

extern char** environ;
static sem_t questions, answers;
static volatile pid_t answer, sender;

static void* lasting(void* unused) {
  for (;;) {
    while (sem_wait(&questions) != 0);
    answer = gettid();
    sem_post(&answers);
  }
  return unused;
}

static pid_t ask(void) {
  sem_post(&questions);
  while (sem_wait(&answers) != 0);
  return answer;
}

static void on_signal(int signal, siginfo_t* info, void* context) {
  (void)signal, (void)context;
  sender = info->si_pid;
}

static void children(void) {
  int status;
  pid_t child = fork();
  if (child == 0) _exit(kill(getppid(), SIGUSR1) == 0 ? 3 : 1);
  while (waitpid(child, &status, 0) != child);
  check(WEXITSTATUS(status) == 3 && sender == child, "a signal from a child");
  show(child);

  char line[64], *words[] = {"sh", "-c", "kill -USR1 $PPID", NULL};
  check(posix_spawn(&child, "/bin/sh", NULL, NULL, words, environ) == 0, "posix_spawn");
  while (waitpid(child, &status, 0) != child);
  check(status == 0 && sender == child, "a signal from a spawned child");

  FILE* pipe = popen("echo $$ $PPID", "r");
  int pid, parent;
  check(pipe && fgets(line, sizeof line, pipe) && sscanf(line, "%d %d", &pid, &parent) == 2, "popen");
  check(pclose(pipe) == 0 && parent == getpid(), "popen's parent");
  show(pid);

  child = fork();
  while (child == 0) pause();
  check(setpgid(child, child) == 0 && getpgid(child) == child && kill(-child, SIGTERM) == 0, "a group of its own");
  check(waitpid(-child, &status, 0) == child && WTERMSIG(status) == SIGTERM, "the end of a group");
  check(kill(child, 0) == -1, "an ended process");
}

static void* own_id(void* to) {
  *(pid_t*)to = gettid();
  return NULL;
}

static void threads(void) {
  pthread_t thread[20];
  pid_t id[20];
  for (int i = 0; i < 20; i++) check(pthread_create(thread + i, NULL, own_id, id + i) == 0, "pthread_create");
  for (int i = 0; i < 20; i++) check(pthread_join(thread[i], NULL) == 0 && id[i] != getpid(), "pthread_join");
  show(id[0]);
}

// What the round's file says.
static const char* await(int round) {
  static char word[16];
  const char* directory = getenv("ROUNDS");
  if (!directory) return "last";
  printf("ready %d\n", round);
  char path[4096];
  snprintf(path, sizeof path, "%s/%d", directory, round);
  for (FILE* file;; nanosleep(&(struct timespec){0, 10000000}, NULL)) {
    if (!(file = fopen(path, "r"))) continue;
    const char* read = fgets(word, sizeof word, file);
    fclose(file);
    if (read) return word;
  }
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
  pthread_t thread;
  check(sem_init(&questions, 0, 0) == 0 && sem_init(&answers, 0, 0) == 0, "sem_init");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  check(sigaction(SIGUSR1, &action, NULL) == 0 && sigprocmask(SIG_BLOCK, &set, NULL) == 0, "signals");
  check(pthread_create(&thread, NULL, lasting, NULL) == 0 && sigprocmask(SIG_UNBLOCK, &set, NULL) == 0, "a thread");
  const pid_t pid = getpid(), parent = getppid(), group = getpgrp(), session = getsid(0), other = ask();
  const char* word = "";
  for (int round = 1; strcmp(word, "last") != 0; round++) {
    word = await(round);
    check(pid == getpid() && pid == gettid() && parent == getppid() && group == getpgrp() && session == getsid(pid),
          "own ids");
    check(other == ask() && pthread_kill(thread, 0) == 0 && syscall(SYS_tgkill, pid, other, 0) == 0, "the other thread");
    show(pid);
    show(parent);
    show(other);
    children();
    threads();
  }
  puts("PASS");
}
