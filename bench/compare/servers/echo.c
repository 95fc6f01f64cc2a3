/* Answers datagrams with themselves, 64 to a system call: what the kernel
   charges for an answer, and so the limit for every server. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { batch = 64, bytes = 1500 };

int main(int argc, char **argv)
{
	static char buffers[batch][bytes];
	static struct sockaddr_in from[batch];
	static struct iovec parts[batch];
	static struct mmsghdr messages[batch];
	if (argc != 2 || strcmp(argv[1], "-v") == 0) {
		puts("recvmmsg and sendmmsg alone");
		return 0;
	}
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) < 0) {
		perror("bind");
		return 1;
	}
	for (;;) {
		for (int i = 0; i < batch; i++) {
			parts[i] = (struct iovec){ buffers[i], bytes };
			messages[i].msg_hdr = (struct msghdr){ .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1 };
		}
		int n = recvmmsg(fd, messages, batch, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++) {
			parts[i].iov_len = messages[i].msg_len;
			buffers[i][2] |= 0x80; /* QR: a response (RFC 1035 4.1.1) */
		}
		if (n > 0)
			sendmmsg(fd, messages, n, 0);
	}
}
