// A Vulkan layer that asks the driver what it made of every compute pipeline of a program (its registers, spills,
// estimated cycles: VK_KHR_pipeline_executable_properties), and appends a line of JSON for each to the file that
// PIPELINE_STATISTICS names. Works with any driver that has the extension, on a GPU that is there or not.
//
// With NO_GPU=1 in the environment submissions are dropped and count as done, and semaphores are the layer's own: for
// a driver without its GPU.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vulkan/vulkan.h>
#include <vulkan/vk_layer.h>

static PFN_vkGetInstanceProcAddr instance_proc;
static PFN_vkGetDeviceProcAddr device_proc;
static VkInstance instance;
static int has_statistics;

// The layers below this one, from the list that the loader hands to a vkCreate function.
#define LINK(type, info, kind)                                                                                         \
    type *link = (type *)(info)->pNext;                                                                                \
    while (link && !(link->sType == (kind) && link->function == VK_LAYER_LINK_INFO)) link = (type *)link->pNext;       \
    if (!link) return VK_ERROR_INITIALIZATION_FAILED

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                                      const VkAllocationCallbacks *allocator, VkInstance *made) {
    LINK(VkLayerInstanceCreateInfo, info, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO);
    instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = ((PFN_vkCreateInstance)instance_proc(NULL, "vkCreateInstance"))(info, allocator, made);
    if (result == VK_SUCCESS) instance = *made;
    return result;
}

static int driver_has(VkPhysicalDevice gpu, const char *extension) {
    PFN_vkEnumerateDeviceExtensionProperties list = (PFN_vkEnumerateDeviceExtensionProperties)instance_proc(
        instance, "vkEnumerateDeviceExtensionProperties");
    uint32_t n = 0;
    list(gpu, NULL, &n, NULL);
    VkExtensionProperties *all = calloc(n, sizeof *all);
    list(gpu, NULL, &n, all);
    int found = 0;
    for (uint32_t i = 0; i < n; i++) found |= !strcmp(all[i].extensionName, extension);
    free(all);
    return found;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice gpu, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *allocator, VkDevice *made) {
    LINK(VkLayerDeviceCreateInfo, info, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO);
    PFN_vkGetInstanceProcAddr below = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    device_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    PFN_vkCreateDevice create = (PFN_vkCreateDevice)below(instance, "vkCreateDevice");
    has_statistics = driver_has(gpu, VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME);
    if (!has_statistics) {
        fprintf(stderr, "the driver tells no statistics of its pipelines\n");
        return create(gpu, info, allocator, made);
    }
    uint32_t n = info->enabledExtensionCount;
    const char **extensions = calloc(n + 1, sizeof *extensions);
    for (uint32_t i = 0; i < n; i++) extensions[i] = info->ppEnabledExtensionNames[i];
    extensions[n] = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
        .pNext = (void *)info->pNext,
        .pipelineExecutableInfo = VK_TRUE,
    };
    VkDeviceCreateInfo own = *info;
    own.pNext = &feature;
    own.enabledExtensionCount = n + 1;
    own.ppEnabledExtensionNames = extensions;
    VkResult result = create(gpu, &own, allocator, made);
    free(extensions);
    return result;
}

static void write_statistic(FILE *file, const VkPipelineExecutableStatisticKHR *statistic) {
    const VkPipelineExecutableStatisticValueKHR *value = &statistic->value;
    fprintf(file, ", \"%s\": ", statistic->name);
    switch (statistic->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: fprintf(file, "%u", value->b32); break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: fprintf(file, "%lld", (long long)value->i64); break;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: fprintf(file, "%llu", (unsigned long long)value->u64); break;
    default: fprintf(file, "%g", value->f64);
    }
}

// One line for each program that the driver made of the pipeline, as Intel's does one for each width.
static void write_statistics(FILE *file, VkDevice device, VkPipeline pipeline, double milliseconds) {
    PFN_vkGetPipelineExecutablePropertiesKHR list = (PFN_vkGetPipelineExecutablePropertiesKHR)device_proc(
        device, "vkGetPipelineExecutablePropertiesKHR");
    PFN_vkGetPipelineExecutableStatisticsKHR tell = (PFN_vkGetPipelineExecutableStatisticsKHR)device_proc(
        device, "vkGetPipelineExecutableStatisticsKHR");
    VkPipelineInfoKHR of = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
    uint32_t n = 0;
    list(device, &of, &n, NULL);
    VkPipelineExecutablePropertiesKHR *programs = calloc(n, sizeof *programs);
    for (uint32_t i = 0; i < n; i++) programs[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
    list(device, &of, &n, programs);
    for (uint32_t i = 0; i < n; i++) {
        VkPipelineExecutableInfoKHR program = {
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline, .executableIndex = i};
        uint32_t m = 0;
        tell(device, &program, &m, NULL);
        VkPipelineExecutableStatisticKHR *statistics = calloc(m, sizeof *statistics);
        for (uint32_t j = 0; j < m; j++) statistics[j].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
        tell(device, &program, &m, statistics);
        fprintf(file, "{\"milliseconds\": %.2f, \"subgroup\": %u", milliseconds, programs[i].subgroupSize);
        for (uint32_t j = 0; j < m; j++) write_statistic(file, &statistics[j]);
        fprintf(file, "}\n");
        free(statistics);
    }
    free(programs);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache, uint32_t n,
                                                       const VkComputePipelineCreateInfo *infos,
                                                       const VkAllocationCallbacks *allocator, VkPipeline *made) {
    PFN_vkCreateComputePipelines create =
        (PFN_vkCreateComputePipelines)device_proc(device, "vkCreateComputePipelines");
    const char *path = getenv("PIPELINE_STATISTICS");
    FILE *file = path && has_statistics ? fopen(path, "a") : NULL;
    if (!file) return create(device, cache, n, infos, allocator, made);
    VkComputePipelineCreateInfo *own = calloc(n, sizeof *own);
    for (uint32_t i = 0; i < n; i++) {
        own[i] = infos[i];
        own[i].flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
    }
    double begin = seconds();
    VkResult result = create(device, cache, n, own, allocator, made);
    double milliseconds = (seconds() - begin) * 1e3 / n;
    for (uint32_t i = 0; i < n && result == VK_SUCCESS; i++) write_statistics(file, device, made[i], milliseconds);
    fclose(file);
    free(own);
    return result;
}

// What a driver would hand to its kernel.

struct semaphore {
    uint64_t value;
};

static VKAPI_ATTR VkResult VKAPI_CALL create_semaphore(VkDevice device, const VkSemaphoreCreateInfo *info,
                                                       const VkAllocationCallbacks *allocator, VkSemaphore *made) {
    struct semaphore *own = calloc(1, sizeof *own);
    for (const VkBaseInStructure *next = info->pNext; next; next = next->pNext)
        if (next->sType == VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO)
            own->value = ((const VkSemaphoreTypeCreateInfo *)next)->initialValue;
    *made = (VkSemaphore)own;
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL destroy_semaphore(VkDevice device, VkSemaphore semaphore,
                                                    const VkAllocationCallbacks *allocator) {
    free((void *)semaphore);
}

static VKAPI_ATTR VkResult VKAPI_CALL semaphore_value(VkDevice device, VkSemaphore semaphore, uint64_t *value) {
    *value = __atomic_load_n(&((struct semaphore *)semaphore)->value, __ATOMIC_SEQ_CST);
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL wait_semaphores(VkDevice device, const VkSemaphoreWaitInfo *info,
                                                      uint64_t timeout) {
    for (uint32_t i = 0; i < info->semaphoreCount; i++) {
        uint64_t value;
        semaphore_value(device, info->pSemaphores[i], &value);
        if (value < info->pValues[i]) return VK_TIMEOUT;
    }
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, uint32_t n, const VkSubmitInfo *infos, VkFence fence) {
    for (uint32_t i = 0; i < n; i++)
        for (const VkBaseInStructure *next = infos[i].pNext; next; next = next->pNext) {
            if (next->sType != VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO) continue;
            const VkTimelineSemaphoreSubmitInfo *timeline = (const void *)next;
            for (uint32_t j = 0; j < timeline->signalSemaphoreValueCount; j++) {
                struct semaphore *own = (struct semaphore *)infos[i].pSignalSemaphores[j];
                if (timeline->pSignalSemaphoreValues[j] > own->value)
                    __atomic_store_n(&own->value, timeline->pSignalSemaphoreValues[j], __ATOMIC_SEQ_CST);
            }
        }
    return VK_SUCCESS;
}

static PFN_vkVoidFunction own_function(const char *name) {
    static const struct {
        const char *name;
        void *function;
        int only_without_gpu;
    } own[] = {
        {"vkCreateComputePipelines", create_pipelines, 0},
        {"vkCreateSemaphore", create_semaphore, 1},
        {"vkDestroySemaphore", destroy_semaphore, 1},
        {"vkGetSemaphoreCounterValue", semaphore_value, 1},
        {"vkGetSemaphoreCounterValueKHR", semaphore_value, 1},
        {"vkWaitSemaphores", wait_semaphores, 1},
        {"vkWaitSemaphoresKHR", wait_semaphores, 1},
        {"vkQueueSubmit", submit, 1},
    };
    const char *no_gpu = getenv("NO_GPU");
    int without_gpu = no_gpu && !strcmp(no_gpu, "1");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(name, own[i].name) && (without_gpu || !own[i].only_without_gpu))
            return (PFN_vkVoidFunction)own[i].function;
    return NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc(VkDevice device, const char *name) {
    if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)get_device_proc;
    PFN_vkVoidFunction own = own_function(name);
    return own ? own : device_proc(device, name);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance_proc(VkInstance of, const char *name) {
    if (!strcmp(name, "vkGetInstanceProcAddr")) return (PFN_vkVoidFunction)get_instance_proc;
    if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)get_device_proc;
    if (!strcmp(name, "vkCreateInstance")) return (PFN_vkVoidFunction)create_instance;
    if (!strcmp(name, "vkCreateDevice")) return (PFN_vkVoidFunction)create_device;
    PFN_vkVoidFunction own = own_function(name);
    return own ? own : instance_proc ? instance_proc(of, name) : NULL;
}

__attribute__((visibility("default"))) VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *interface) {
    interface->loaderLayerInterfaceVersion = 2;
    interface->pfnGetInstanceProcAddr = get_instance_proc;
    interface->pfnGetDeviceProcAddr = get_device_proc;
    interface->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
