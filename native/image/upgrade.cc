// Images of version 1 in the form of the present one. There, the numbers of the only process stood in the records of what they stand
// for, and what an epoll instance watched was known by number.
#include <algorithm>
#include <map>
#include <utility>

#include "image/image.h"

namespace stasis::image {

namespace {

class Upgrade {
 public:
  explicit Upgrade(Image& image) : image_(image), descriptors_(image.processes.front().descriptors) {}

  void run() {
    take_all(image_.open_files);
    take_all(image_.stdio);
    for (Pipe& pipe : image_.pipes) {
      pipe.object = next_++;
      take(pipe.readers, pipe.object, 0);
      take(pipe.writers, pipe.object, 1);
    }
    for (SocketPair& pair : image_.socket_pairs) {
      pair.object = next_++;
      take(pair.first, pair.object, 0);
      take(pair.second, pair.object, 1);
    }
    take_all(image_.eventfds);
    take_all(image_.timerfds);
    take_all(image_.epolls);
    take_all(image_.listening_sockets);
    std::sort(descriptors_.numbers.begin(), descriptors_.numbers.end(),
              [](const Descriptor& a, const Descriptor& b) { return a.fd < b.fd; });
    for (Epoll& epoll : image_.epolls) {
      for (EpollTarget& target : epoll.targets) resolve(target);
    }
  }

 private:
  void take(std::vector<FdNumber>& numbers, std::uint32_t object, std::uint32_t end) {
    for (const FdNumber& number : numbers)
      descriptors_.numbers.push_back({number.fd, object, end, number.close_on_exec});
    numbers.clear();
  }

  template <class Record>
  void take_all(std::vector<Record>& records) {
    for (Record& record : records) {
      record.object = next_++;
      take(record.numbers, record.object, 0);
    }
  }

  // A target that nothing stands for keeps object 0, which validate() refuses.
  void resolve(EpollTarget& target) const {
    const auto found =
        std::lower_bound(descriptors_.numbers.begin(), descriptors_.numbers.end(), target.fd,
                         [](const Descriptor& descriptor, std::int32_t fd) { return descriptor.fd < fd; });
    if (found == descriptors_.numbers.end() || found->fd != target.fd) return;
    target.object = found->object;
    target.end = found->end;
  }

  Image& image_;
  Descriptors& descriptors_;
  std::uint32_t next_ = 1;
};

}  // namespace

void upgrade_from_version_1(Image& image) { Upgrade(image).run(); }

}  // namespace stasis::image
