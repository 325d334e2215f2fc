// linux/mount.h, linux/fcntl.h
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_BIND = 4096;
export const MS_REC = 16384;
export const MS_PRIVATE = 0x40000;
export const MS_SLAVE = 0x80000;

export const MNT_DETACH = 2;

export const MOUNT_ATTR_RDONLY = 0x1;
export const AT_RECURSIVE = 0x8000;
