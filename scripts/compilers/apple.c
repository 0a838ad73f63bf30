// An Apple M1 for Mesa's drm-shim: answers what the asahi driver asks its kernel driver, and executes nothing.
#include <stdlib.h>
#include <string.h>
#include "drm-shim/drm_shim.h"
#include "asahi_drm.h"

bool drm_shim_driver_prefers_first_render_node = true;

static uint32_t last_handle;

static int nothing(int fd, unsigned long request, void *argument) { return 0; }

static int get_params(int fd, unsigned long request, void *argument) {
    struct drm_asahi_get_params *wanted = argument;
    const struct drm_asahi_params_global m1 = {
        .gpu_generation = 13,
        .gpu_variant = 'G',
        .gpu_revision = 0x11,
        .chip_id = 0x8103,
        .num_dies = 1,
        .num_clusters_total = 1,
        .num_cores_per_cluster = 8,
        .core_masks = {0xff},
        .max_frequency_khz = 1278000,
        .command_timestamp_frequency_hz = 24000000,
        .vm_start = 0x4000,
        .vm_end = 1ull << 38,
        .vm_kernel_min_size = 0x20000000,
        .max_commands_per_submission = 64,
        .max_attachments = 16,
    };
    memcpy((void *)(uintptr_t)wanted->pointer, &m1, wanted->size < sizeof m1 ? wanted->size : sizeof m1);
    return 0;
}

static int create_vm(int fd, unsigned long request, void *argument) {
    ((struct drm_asahi_vm_create *)argument)->vm_id = ++last_handle;
    return 0;
}

static int create_queue(int fd, unsigned long request, void *argument) {
    ((struct drm_asahi_queue_create *)argument)->queue_id = ++last_handle;
    return 0;
}

static int bind_object(int fd, unsigned long request, void *argument) {
    ((struct drm_asahi_gem_bind_object *)argument)->object_handle = ++last_handle;
    return 0;
}

static int create_buffer(int fd, unsigned long request, void *argument) {
    struct drm_asahi_gem_create *create = argument;
    struct shim_bo *buffer = calloc(1, sizeof *buffer);
    drm_shim_bo_init(buffer, create->size);
    create->handle = drm_shim_bo_get_handle(drm_shim_fd_lookup(fd), buffer);
    drm_shim_bo_put(buffer);
    return 0;
}

static int map_buffer(int fd, unsigned long request, void *argument) {
    struct drm_asahi_gem_mmap_offset *map = argument;
    struct shim_fd *file = drm_shim_fd_lookup(fd);
    struct shim_bo *buffer = drm_shim_bo_lookup(file, map->handle);
    map->offset = drm_shim_bo_get_mmap_offset(file, buffer);
    drm_shim_bo_put(buffer);
    return 0;
}

static ioctl_fn_t answers[] = {
    [DRM_ASAHI_GET_PARAMS] = get_params,
    [DRM_ASAHI_GET_TIME] = nothing,
    [DRM_ASAHI_VM_CREATE] = create_vm,
    [DRM_ASAHI_VM_DESTROY] = nothing,
    [DRM_ASAHI_VM_BIND] = nothing,
    [DRM_ASAHI_GEM_CREATE] = create_buffer,
    [DRM_ASAHI_GEM_MMAP_OFFSET] = map_buffer,
    [DRM_ASAHI_GEM_BIND_OBJECT] = bind_object,
    [DRM_ASAHI_QUEUE_CREATE] = create_queue,
    [DRM_ASAHI_QUEUE_DESTROY] = nothing,
    [DRM_ASAHI_SUBMIT] = nothing,
};

void drm_shim_driver_init(void) {
    shim_device.bus_type = DRM_BUS_PLATFORM;
    shim_device.driver_name = "asahi";
    shim_device.driver_ioctls = answers;
    shim_device.driver_ioctl_count = sizeof answers / sizeof *answers;
    drm_shim_override_file("DRIVER=asahi\nOF_FULLNAME=/soc/agx\nOF_COMPATIBLE_0=apple,agx-g13g\nOF_COMPATIBLE_N=1\n",
                           "/sys/dev/char/%d:%d/device/uevent", DRM_MAJOR, render_node_minor);
}
