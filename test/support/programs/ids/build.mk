# Twelve programs compiled and run side by side; each tells its pid and its parent's.
names := $(shell seq 1 12)
programs := $(names:%=program-%)

all: $(programs:=.ran)
	@cat $^
	@echo PASS

$(programs:=.c):
	@printf '%s\n' '#include <stdio.h>' '#include <unistd.h>' 'int main(void){printf("id %d\nid %d\n",getpid(),getppid());}' >$@

$(programs): %: %.c
	@gcc -O1 -o $@ $<

$(programs:=.ran): %.ran: %
	@./$< >$@
