SOURCE_DATE_EPOCH=1723500000
E2FSPROGS_FAKE_TIME=1723500000
TZ=UTC
sfdisk --quiet --wipe=never --no-reread --no-tell-kernel /disk/disk.raw
label: gpt
label-id: 73d6bb12-28c6-8c92-a8b7-44d67078b23f
unit: sectors

start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, uuid=3c153e05-eb69-8380-8f06-0e17c8f61737, name="bios"
start=4096, size=131072, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=652d9f56-005a-8451-9544-feb330ad8b17, name="esp"
start=135168, size=19394560, type=B921B045-1DF0-41C3-AF44-4C6F280D3FAE, uuid=2158f37f-238b-8d44-aca1-ae91749dde39, name="root"

grub-mkimage --format arm64-efi --prefix '(,gpt3)/boot' --config /disk/work/grub.cfg --output /disk/work/uefi.img fat efi_gop part_gpt ext2 syslinuxcfg linux normal serial terminal echo test reboot halt
mformat -i /disk/disk.raw@@2097152 -T 131072 -F -h 64 -s 32 -N 0d8940dc -v ESP ::
mmd -i /disk/disk.raw@@2097152 ::/EFI ::/EFI/BOOT
mcopy -i /disk/disk.raw@@2097152 /disk/work/uefi.img ::/EFI/BOOT/BOOTAA64.EFI
mke2fs -q -t ext4 -O '^metadata_csum_seed,^orphan_file' -L root -U cdcd490b-3f5b-83e2-9e05-aa145953f873 -E hash_seed=4f831e0b-73a2-893c-a57b-44b662f7ba9f,root_owner=0:0,nodiscard,offset=69206016 -d - /disk/disk.raw 9697280k
debugfs -w -R 'set_inode_field /ostree/deploy/kvci/deploy/x.0 flags 0x80010' '/disk/disk.raw?offset=69206016'
qemu-img convert -c -m 2 -W -f raw -O qcow2 -o compression_type=zstd /disk/disk.raw /disk/disk.qcow2
