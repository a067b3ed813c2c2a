# Lets virtual machines go on that somebody is about to stop: when its standard input ends, also because whoever stopped them was
# killed. Arguments: a QMP socket of each. Says "ready" once all of them listen, "gone on" when all have been told.
use strict;
use warnings;
use Socket;

my @machines;
for my $path (@ARGV) {
  socket(my $monitor, AF_UNIX, SOCK_STREAM, 0) or die "$path: $!\n";
  connect($monitor, sockaddr_un($path)) or die "$path: $!\n";
  # A monitor that somebody else holds greets nobody.
  alarm 20;
  answer($monitor, qr/"QMP"/);
  syswrite($monitor, qq({"execute":"qmp_capabilities"}\n));
  answer($monitor, qr/"return"/);
  alarm 0;
  push @machines, $monitor;
}
syswrite(STDOUT, "ready\n");
1 while sysread(STDIN, my $word, 4096);
syswrite($_, qq({"execute":"cont","id":1}\n)) for @machines;
alarm 20;
answer($_, qr/"id": ?1\b/) for @machines;
print "gone on\n";

sub answer {
  my ($monitor, $wanted) = @_;
  while (defined(my $line = readline $monitor)) {
    return if $line =~ $wanted;
  }
  die "a machine ended\n";
}
