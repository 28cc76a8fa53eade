/* Shared workload and timing of the C and C++ peers; ../src/peer/ is the same in Rust.
 * The peer's file defines, then includes this:
 *   static void peer_init(const char *out);      main thread, pinned to cpu 0 (background threads inherit
 * that) static void peer_thread(void);               once on each producer thread static inline void
 * w0(void); w1(const Net*); w2(const Launch*); static void peer_disable(void);              turn the
 * level/event off at run time (W3) static void peer_finish(void);               final flush: when it returns
 * every kept event is in the file usage: BIN MODE W OUT [THREADS SECONDS]    MODE: batch | tail | off | tput
 * W: 0 1 2 $WL_BATCHES batches instead of 200. Prints one line of key=value; tsc is a bare rdtsc, measured in
 * between. */
#ifndef WL_H
#define WL_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

typedef struct {
    uint32_t src, dst;
    uint16_t sport, dport;
    uint8_t proto;
    uint64_t bytes;
} Net;
typedef struct {
    uint32_t pid, ppid;
    uint64_t size;
    char sha[65], path[61], cmd[101];
} Launch;
#define NN 1024
#define NL 64
#define W0_TEXT "heartbeat agent is alive and has nothing to report"
#define W1_TEXT "net src={} dst={} sport={} dport={} proto={} bytes={}"
#define W2_TEXT "launch pid={} ppid={} size={} sha256={} path={} cmd={}"

static void peer_init(const char *out);
static void peer_thread(void);
static inline void w0(void);
static inline void w1(const Net *n);
static inline void w2(const Launch *l);
static void peer_disable(void);
static void peer_finish(void);

static Net wl_net[NN];
static Launch wl_la[NL];
static double wl_ghz;
static int wl_w;

static uint64_t wl_seed = 88172645463325252ull;
static uint64_t wl_rng(void) {
    wl_seed ^= wl_seed << 13;
    wl_seed ^= wl_seed >> 7;
    wl_seed ^= wl_seed << 17;
    return wl_seed;
}
static void wl_fill(void) {
    static const char hex[] = "0123456789abcdef", al[] = "abcdefghijklmnopqrstuvwxyz/_-.0123";
    for (int i = 0; i < NN; i++) {
        uint64_t r = wl_rng();
        Net n = {0x0a000000u | (uint32_t)(r & 0xffff),  (uint32_t)(r >> 16),
                 (uint16_t)(32768 + (r >> 48) % 28000), (uint16_t)((r & 1) ? 443 : 53),
                 (uint8_t)((r & 2) ? 6 : 17),           wl_rng() % 200000};
        wl_net[i] = n;
    }
    for (int i = 0; i < NL; i++) {
        Launch *l = &wl_la[i];
        l->pid = 1000 + (uint32_t)(wl_rng() % 30000);
        l->ppid = l->pid / 16;
        l->size = wl_rng() % 10000000;
        for (int k = 0; k < 64; k++)
            l->sha[k] = hex[wl_rng() % 16];
        for (int k = 0; k < 60; k++)
            l->path[k] = al[wl_rng() % (sizeof al - 1)];
        for (int k = 0; k < 100; k++)
            l->cmd[k] = al[wl_rng() % (sizeof al - 1)];
        l->path[0] = l->cmd[0] = '/';
        l->sha[64] = l->path[60] = l->cmd[100] = 0;
    }
}
static uint64_t wl_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static inline uint64_t wl_tsc(void) {
    unsigned a;
    return __rdtscp(&a);
}
static void wl_pin(int cpu) { /* cpu < 0: any */
    cpu_set_t s;
    CPU_ZERO(&s);
    if (cpu < 0) {
        CPU_SET(0, &s);
        CPU_SET(1, &s);
    } else
        CPU_SET(cpu, &s);
    sched_setaffinity(0, sizeof s, &s);
}
static void wl_spin_us(double us) {
    uint64_t e = wl_tsc() + (uint64_t)(us * 1000 * wl_ghz);
    while (wl_tsc() < e)
        _mm_pause();
}
static int wl_cmp(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
/* CPU seconds of the processes in $WL_PIDS (e.g. a tracing daemon), from schedstat */
static double wl_extra_cpu(void) {
    const char *e = getenv("WL_PIDS");
    double s = 0;
    char buf[256], *save = NULL, *p;
    if (!e || !*e)
        return 0;
    snprintf(buf, sizeof buf, "%s", e);
    for (p = strtok_r(buf, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
        char d[300];
        snprintf(d, sizeof d, "/proc/%s/task", p);
        DIR *D = opendir(d);
        struct dirent *t;
        if (!D)
            continue;
        while ((t = readdir(D))) {
            char f[700];
            snprintf(f, sizeof f, "%s/%s/schedstat", d, t->d_name);
            FILE *F = fopen(f, "r");
            unsigned long long v;
            if (F) {
                if (fscanf(F, "%llu", &v) == 1)
                    s += v / 1e9;
                fclose(F);
            }
        }
        closedir(D);
    }
    return s;
}
static double wl_cpu(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

#define WL_LOOP(K, N, I0, PRE, POST)                                                                         \
    for (uint64_t k_ = 0, i_ = (I0); k_ < (N); k_++, i_++) {                                                 \
        PRE;                                                                                                 \
        if ((K) == 0)                                                                                        \
            w0();                                                                                            \
        else if ((K) == 1)                                                                                   \
            w1(&wl_net[i_ & (NN - 1)]);                                                                      \
        else                                                                                                 \
            w2(&wl_la[i_ & (NL - 1)]);                                                                       \
        POST;                                                                                                \
    }
#define WL_SW(K, X)                                                                                          \
    switch (K) {                                                                                             \
    case 0: {                                                                                                \
        enum { K_ = 0 };                                                                                     \
        X                                                                                                    \
    } break;                                                                                                 \
    case 1: {                                                                                                \
        enum { K_ = 1 };                                                                                     \
        X                                                                                                    \
    } break;                                                                                                 \
    default: {                                                                                               \
        enum { K_ = 2 };                                                                                     \
        X                                                                                                    \
    }                                                                                                        \
    }
__attribute__((noinline)) static void wl_run(uint64_t i0, uint64_t n) {
    WL_SW(wl_w, WL_LOOP(K_, n, i0, (void)0, (void)0))
}
__attribute__((noinline)) static void wl_run_each(uint64_t i0, uint64_t n, double *out) {
    WL_SW(wl_w, WL_LOOP(K_, n, i0, uint64_t a_ = wl_tsc(), *out++ = (double)(wl_tsc() - a_)))
}
/* ns for a bare rdtsc */
__attribute__((noinline)) static double wl_clock(uint64_t n) {
    uint64_t a = wl_tsc(), sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        sum += __rdtsc();
        __asm__ volatile("" : "+r"(sum));
    }
    return (double)(wl_tsc() - a) / wl_ghz / (double)n;
}
/* ns for one turn of an empty loop */
__attribute__((noinline)) static double wl_empty(uint64_t n) {
    uint64_t a = wl_tsc();
    for (uint64_t i = 0; i < n; i++)
        __asm__ volatile("" ::: "memory");
    return (double)(wl_tsc() - a) / wl_ghz / (double)n;
}
static double wl_clock_median(void) {
    double v[51];
    for (int i = 0; i < 51; i++)
        v[i] = wl_clock(1000);
    qsort(v, 51, sizeof *v, wl_cmp);
    return v[25];
}
typedef struct {
    int cpu;
    double secs, clock;
    uint64_t n;
} WlT;
static pthread_barrier_t wl_bar;
static void *wl_producer(void *v) {
    WlT *t = (WlT *)v;
    wl_pin(t->cpu);
    peer_thread();
    t->clock = wl_clock_median();
    wl_run(0, 64); /* what a thread needs once is there when the time begins */
    pthread_barrier_wait(&wl_bar);
    uint64_t end = wl_tsc() + (uint64_t)(t->secs * 1e9 * wl_ghz), n = 64;
    do {
        wl_run(n, 64);
        n += 64;
    } while (wl_tsc() < end);
    t->n = n;
    return NULL;
}
/* single calls between two rdtscp */
static void wl_tail(int B, double drain) {
    enum { N = 1000 };
    double *s = (double *)calloc((size_t)B * N, sizeof *s),
           *clock = (double *)calloc((size_t)B, sizeof *clock), ov[2001];
    memset(s, 0, sizeof(double) * (size_t)B * N);
    for (int i = 0; i < 2001; i++) {
        uint64_t a = wl_tsc();
        ov[i] = (double)(wl_tsc() - a);
    }
    qsort(ov, 2001, sizeof *ov, wl_cmp);
    for (int b = 0; b < B / 10; b++) {
        wl_run_each((uint64_t)b * N, N, s);
        wl_spin_us(drain);
    }
    for (int b = 0; b < B; b++) {
        clock[b] = wl_clock(1000);
        wl_run_each((uint64_t)b * N, N, s + b * N);
        wl_spin_us(drain);
    }
    qsort(s, (size_t)B * N, sizeof *s, wl_cmp);
    qsort(clock, (size_t)B, sizeof *clock, wl_cmp);
#define Q(p) (((s[(size_t)((B * N - 1) * (p))]) - ov[1000]) / wl_ghz)
    printf("p50=%.1f p99=%.1f p999=%.1f max=%.0f overhead=%.1f tsc=%.3f\n", Q(.5), Q(.99), Q(.999), Q(1.0),
           ov[1000] / wl_ghz, clock[B / 2]);
}
static void *wl_single(void *v) {
    const char *mode = (const char *)v;
    enum { N = 1000 };
    const char *eb = getenv("WL_BATCHES");
    int B = eb ? atoi(eb) : 200;
    if (B < 10)
        B = 10;
    double drain = getenv("WL_DRAIN_US") ? atof(getenv("WL_DRAIN_US")) : 3000;
    wl_pin(1);
    peer_thread();
    if (!strcmp(mode, "tail")) {
        wl_tail(B, drain);
        return NULL;
    }
    double *call = (double *)calloc((size_t)B, sizeof *call),
           *other = (double *)calloc((size_t)B, sizeof *other),
           *both = (double *)calloc((size_t)B, sizeof *both);
    int off = !strcmp(mode, "off"), warm = off ? 0 : B / 10;
    uint64_t n = off ? (B < 200 ? 100000 : 1000000) : N;
    if (off)
        peer_disable();
    for (int b = -warm; b < B; b++) {
        double o = off ? wl_empty(n) : wl_clock(n);
        uint64_t a = wl_tsc();
        wl_run((uint64_t)(b + warm) * N, n);
        uint64_t e = wl_tsc();
        double c = (double)(e - a) / wl_ghz / (double)n;
        if (b >= 0) {
            call[b] = c;
            other[b] = o;
            both[b] = off ? c - o : c / o;
        }
        if (!off)
            wl_spin_us(drain);
    }
    qsort(call, (size_t)B, sizeof *call, wl_cmp);
    qsort(other, (size_t)B, sizeof *other, wl_cmp);
    qsort(both, (size_t)B, sizeof *both, wl_cmp);
    if (off)
        printf("ns=%.4f empty=%.4f over=%.4f tsc=%.3f\n", call[B / 2], other[B / 2], both[B / 2],
               wl_clock_median());
    else
        printf("ns=%.3f min=%.3f p90=%.3f tsc=%.3f ratio=%.4f\n", call[B / 2], call[0], call[B * 9 / 10],
               other[B / 2], both[B / 2]);
    return NULL;
}
int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: %s batch|tail|off|tput W OUT [THREADS SECONDS]\n", argv[0]);
        return 2;
    }
    const char *mode = argv[1];
    wl_w = atoi(argv[2]);
    int nt = argc > 4 ? atoi(argv[4]) : 1;
    double secs = argc > 5 ? atof(argv[5]) : 2;
    wl_pin(0);
    wl_fill();
    uint64_t a = wl_tsc(), t = wl_ns();
    while (wl_ns() - t < 50000000) {
    }
    wl_ghz = (double)(wl_tsc() - a) / (double)(wl_ns() - t);
    int tput = !strcmp(mode, "tput");
    if (tput && nt > 1)
        wl_pin(-1); /* background threads share both cpus with the two producers */
    peer_init(argv[3]);
    if (!tput) {
        pthread_t th;
        pthread_create(&th, NULL, wl_single, (void *)mode);
        pthread_join(th, NULL);
        peer_finish();
        return 0;
    }
    pthread_t th[8];
    WlT w[8];
    pthread_barrier_init(&wl_bar, NULL, nt + 1);
    for (int i = 0; i < nt; i++) {
        w[i].cpu = nt == 1 ? 1 : i & 1;
        w[i].secs = secs;
        pthread_create(&th[i], NULL, wl_producer, &w[i]);
    }
    usleep(100000);
    double c0 = wl_cpu(), x0 = wl_extra_cpu();
    /* before they are let go: this thread may get no processor for long after that */
    uint64_t t0 = wl_ns(), n = 0;
    pthread_barrier_wait(&wl_bar);
    for (int i = 0; i < nt; i++) {
        pthread_join(th[i], NULL);
        n += w[i].n;
    }
    uint64_t t1 = wl_ns();
    peer_finish();
    uint64_t t2 = wl_ns();
    printf("called=%llu prod_s=%.4f total_s=%.4f cpu_s=%.6f daemon_cpu_s=%.6f tsc=%.3f\n",
           (unsigned long long)n, (t1 - t0) / 1e9, (t2 - t0) / 1e9, wl_cpu() - c0, wl_extra_cpu() - x0,
           w[0].clock);
    return 0;
}
#endif
