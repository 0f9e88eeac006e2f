# Processes of Perl: fork, wait, pipes, signals, process groups. Prints "id N" for each id it
# sees. With ROUNDS, a directory, it does all this again for each file that appears there: 1, 2 and so on, until one says "last".
use strict;
use warnings;
use POSIX ":sys_wait_h";
$| = 1;

sub check { my ($ok, $what) = @_; return if $ok; print "FAIL $what\n"; exit 1 }

my @own = ($$, getppid(), getpgrp());

sub work {
  check("@own" eq join(' ', POSIX::getpid(), getppid(), getpgrp()), "the own ids");
  print "id $$\nid ", getppid(), "\n";
  my %status;
  for my $n (1 .. 10) {
    my $pid = fork() // die;
    exit $n if $pid == 0;
    $status{$pid} = $n;
  }
  while ((my $pid = wait()) > 0) { check(delete $status{$pid} == $? >> 8, "status of $pid") }
  check(!%status, "all children waited for");

  open(my $pipe, "-|", 'echo $$ $PPID') or die;
  my ($child, $parent) = split ' ', <$pipe>;
  close $pipe;
  check($parent == $$, "PPID $parent of a child of $$");
  print "id $child\n";

  my $got = 0;
  $SIG{USR1} = sub { $got++ };
  $SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0 };
  my $sender = fork() // die;
  if ($sender == 0) { kill USR1 => getppid(); exit 0 }
  for (1 .. 500) { last if $got; select undef, undef, undef, 0.02 }
  check($got == 1, "a signal from a child");
  $SIG{CHLD} = 'DEFAULT';
  waitpid($sender, 0);

  my $group = fork() // die;
  if ($group == 0) { setpgrp(0, 0); sleep 60; exit 1 }
  for (1 .. 500) { last if getpgrp($group) == $group; select undef, undef, undef, 0.02 }
  check(getpgrp($group) == $group, "a group of its own");
  kill -15 => $group;
  check(waitpid($group, 0) == $group && ($? & 127) == 15, "a group is killed");
}

for (my ($round, $word) = (1, ''); $word ne 'last'; $round++) {
  $word = 'last';
  if (my $directory = $ENV{ROUNDS}) {
    print "ready $round\n";
    select undef, undef, undef, 0.01 until -s "$directory/$round";
    open(my $file, '<', "$directory/$round") or die;
    $word = <$file>;
  }
  work();
}
print "PASS\n";
