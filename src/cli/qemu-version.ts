/** The version in what `qemu-system-ARCH --version` prints, with its package's where it tells it; the whole first line of another form. */
export function qemuVersion(text: string): string {
  const [line = ''] = text.split('\n');
  return line.replace(/^QEMU emulator version /, '');
}
