// spdlog: async logger, one background thread, basic file sink. SPD_Q slots (default 131072), SPD_DROP=1 for
// overrun_oldest.
#include <spdlog/async.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include "wl.h"
static std::shared_ptr<spdlog::async_logger> lg;
static spdlog::async_logger *raw;
static void peer_init(const char *out) {
    const char *q = getenv("SPD_Q"), *d = getenv("SPD_DROP");
    spdlog::init_thread_pool(q ? atoi(q) : 131072, 1);
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(out, true);
    lg = std::make_shared<spdlog::async_logger>("bars", sink, spdlog::thread_pool(),
                                                d && *d == '1' ? spdlog::async_overflow_policy::overrun_oldest
                                                               : spdlog::async_overflow_policy::block);
    lg->set_pattern("%Y-%m-%d %H:%M:%S.%f [%t] %l %v");
    raw = lg.get();
}
static void peer_thread(void) {}
static inline void w0(void) { raw->info(W0_TEXT); }
static inline void w1(const Net *n) {
    raw->info(W1_TEXT, n->src, n->dst, n->sport, n->dport, n->proto, n->bytes);
}
static inline void w2(const Launch *l) {
    using sv = spdlog::string_view_t;
    raw->info(W2_TEXT, l->pid, l->ppid, l->size, sv(l->sha, 64), sv(l->path, 60), sv(l->cmd, 100));
}
static void peer_disable(void) { lg->set_level(spdlog::level::err); }
static void peer_finish(void) {
    raw = nullptr;
    lg.reset();
    spdlog::shutdown();
}
