# Copies the memory of a virtual machine out of its QEMU into a flat, sparse file, as it is while the machine stands still.
# Arguments: QEMU's pid; where its address space has that memory; bytes; the file; what to copy:
#   whole    the file is new: all is copied while the machine still runs, and what differs by then once it stands still
#   changed  the file already has what the machine was started from: only pages that are the machine's own are written over it
# Says "ready" once the machine may stand still, waits for a line, copies what is left, and says how many bytes it has written. Ends
# without a word when nobody tells it to go on.
# Which pages are the machine's own: Documentation/admin-guide/mm/pagemap.rst of the kernel.
use strict;
use warnings;
use Fcntl;
use POSIX ();

my ($pid, $address, $size, $file, $kind) = @ARGV;
my $page = POSIX::sysconf(POSIX::_SC_PAGESIZE());
my $piece = 1 << 20;
my $block = 1 << 16;
# Pages that one look takes, and how far apart two changed pages may be to be copied in one piece.
my $look = 1 << 17;
my $near = 4;
my $written = 0;

open(my $map, '<:raw', "/proc/$pid/pagemap") or die "/proc/$pid/pagemap: $!\n";
open(my $memory, '<:raw', "/proc/$pid/mem") or die "/proc/$pid/mem: $!\n";
# process_vm_readv(2) by its number, where it is known: twice as fast as reading /proc/PID/mem, which goes page by page.
my %numbers = (x86_64 => 310, aarch64 => 270);
my $readv = $numbers{ (POSIX::uname())[4] };
my $buffer = "\0" x $piece;
my $place = unpack('Q', pack('p', $buffer));
sysopen(my $out, $file, O_RDWR | O_CREAT, 0600) or die "$file: $!\n";
truncate($out, $size) or die "$file: $!\n";

copy_all() if $kind eq 'whole';
syswrite(STDOUT, "ready\n");
exit 1 unless sysread(STDIN, my $word, 1);
copy_all();
close($out) or die "$file: $!\n";
print "$written\n";

sub copy_all {
  my $pages = $size / $page;
  for (my $first = 0; $first < $pages; $first += $look) {
    my $count = $pages - $first < $look ? $pages - $first : $look;
    my $entries = take($map, ($address / $page + $first) * 8, $count * 8);
    # The highest byte of an entry: 0x80 in memory, 0x40 swapped out, 0x20 of a file and not the machine's own.
    my $own = join '', unpack('(x7a)*', $entries);
    $own =~ tr/\x40-\x5f\x80-\x9f\xc0-\xdf/\x01/;
    my ($from, $to) = (-1, -1);
    while ($own =~ /\x01+/g) {
      if ($from >= 0 && $-[0] - $to > $near) {
        copy(($first + $from) * $page, ($to - $from) * $page);
        $from = -1;
      }
      $from = $-[0] if $from < 0;
      $to = $+[0];
    }
    copy(($first + $from) * $page, ($to - $from) * $page) if $from >= 0;
  }
}

sub take {
  my ($handle, $at, $length) = @_;
  my $what = $handle == $out ? $file : "the memory of process $pid";
  defined sysseek($handle, $at, 0) or die "$what: seek: $!\n";
  my $bytes = '';
  while (length $bytes < $length) {
    my $got = sysread($handle, $bytes, $length - length $bytes, length $bytes);
    die "$what: " . ($! || 'it ends early') . "\n" unless $got;
  }
  return $bytes;
}

sub look {
  my ($from, $length) = @_;
  if (defined $readv) {
    my $read = syscall($readv, $pid + 0, pack('QQ', $place, $length), 1, pack('QQ', $from, $length), 1, 0);
    return substr($buffer, 0, $length) if $read == $length;
    undef $readv;
  }
  return take($memory, $from, $length);
}

sub put {
  my ($at, $bytes) = @_;
  defined sysseek($out, $at, 0) or die "$file: $!\n";
  my $done = 0;
  while ($done < length $bytes) {
    my $put = syswrite($out, $bytes, length($bytes) - $done, $done);
    die "$file: $!\n" unless $put;
    $done += $put;
  }
  $written += $done;
}

sub copy {
  my ($at, $length) = @_;
  for (my $done = 0; $done < $length; $done += $piece) {
    my $some = $length - $done < $piece ? $length - $done : $piece;
    my $bytes = look($address + $at + $done, $some);
    if ($kind eq 'changed') {
      put($at + $done, $bytes);
      next;
    }
    # A file that is new has zeros everywhere.
    my $before = take($out, $at + $done, $some);
    next if $bytes eq $before;
    my $kept = -1;
    for (my $offset = 0; $offset < $some; $offset += $block) {
      my $part = $some - $offset < $block ? $some - $offset : $block;
      if (substr($bytes, $offset, $part) eq substr($before, $offset, $part)) {
        put($at + $done + $kept, substr($bytes, $kept, $offset - $kept)) if $kept >= 0;
        $kept = -1;
      } elsif ($kept < 0) {
        $kept = $offset;
      }
    }
    put($at + $done + $kept, substr($bytes, $kept, $some - $kept)) if $kept >= 0;
  }
}
